package android.graphics;

/** A stub of Android's Bitmap: what the app uses of it, to compile against. */
public final class Bitmap {
  public static native Bitmap createBitmap(int[] colors, int width, int height, Config config);
  public native void getPixels(int[] colors, int offset, int stride, int x, int y, int width, int height);

  /** A stub, as its outer class. */
  public enum Config {
    ARGB_8888
  }
}
