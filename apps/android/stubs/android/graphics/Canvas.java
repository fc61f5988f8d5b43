package android.graphics;

/** A stub of Android's Canvas: what the app uses of it, to compile against. */
public class Canvas {
  public native void drawBitmap(Bitmap bitmap, Rect source, RectF place, Paint paint);
  public native void drawRect(float left, float top, float right, float bottom, Paint paint);
}
