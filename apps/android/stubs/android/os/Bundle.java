package android.os;

/** A stub of Android's Bundle: what the app uses of it, to compile against. */
public final class Bundle {
  public native String[] getStringArray(String key);
  public native void putStringArray(String key, String[] value);
}
