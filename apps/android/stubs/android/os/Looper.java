package android.os;

/** A stub of Android's Looper: what the app uses of it, to compile against. */
public final class Looper {
  public static native Looper getMainLooper();
  public static native Looper myLooper();
}
