package android.graphics;

/** A stub of Android's Paint: what the app uses of it, to compile against. */
public class Paint {
  public native void setFilterBitmap(boolean filter);
  public final native boolean isFilterBitmap();
  public native int getColor();
  public native void setColor(int color);
}
