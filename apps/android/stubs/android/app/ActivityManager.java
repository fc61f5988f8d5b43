package android.app;

/** A stub of Android's ActivityManager: what the app uses of it, to compile against. */
public class ActivityManager {
  public native boolean isLowRamDevice();
}
