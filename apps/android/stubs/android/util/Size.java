package android.util;

/** A stub of Android's Size: what the app uses of it, to compile against. */
public final class Size {
  public native int getWidth();
  public native int getHeight();
}
