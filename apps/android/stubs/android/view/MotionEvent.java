package android.view;

/** A stub of Android's MotionEvent: what the app uses of it, to compile against. */
public final class MotionEvent {
  public final native float getX();
  public final native float getY();
}
