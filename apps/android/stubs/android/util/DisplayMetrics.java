package android.util;

/** A stub of Android's DisplayMetrics: what the app uses of it, to compile against. */
public class DisplayMetrics {
  public int heightPixels;
}
