package android.util;

/** A stub of Android's Log: what the app uses of it, to compile against. */
public final class Log {
  public static native int e(String tag, String message, Throwable error);
}
