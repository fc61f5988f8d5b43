package android.app;

/** A stub of Android's ActivityManager: what the app uses of it, to compile against. */
public class ActivityManager {
  public native void getMemoryInfo(MemoryInfo info);

  public static class MemoryInfo {
    public long availMem;
    public long threshold;
  }
}
