package android.content.pm;

/** A stub of Android's ApplicationInfo: what the app uses of it, to compile against. */
public class ApplicationInfo {
  public static final int FLAG_DEBUGGABLE = 2;
  public int flags;
}
