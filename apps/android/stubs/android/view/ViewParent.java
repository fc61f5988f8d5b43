package android.view;

/** A stub of Android's ViewParent: what the app uses of it, to compile against. */
public interface ViewParent {
  void requestDisallowInterceptTouchEvent(boolean disallow);
}
