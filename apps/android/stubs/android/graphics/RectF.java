package android.graphics;

/** A stub of Android's RectF: what the app uses of it, to compile against. */
public class RectF {
  public native void set(float left, float top, float right, float bottom);
}
