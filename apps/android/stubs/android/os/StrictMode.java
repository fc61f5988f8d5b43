package android.os;

/** A stub of Android's StrictMode: what the app uses of it, to compile against. */
public final class StrictMode {
  public static native void setThreadPolicy(ThreadPolicy policy);

  /** A stub, as its outer class. */
  public static final class ThreadPolicy {
    /** A stub, as its outer class. */
    public static final class Builder {
      public native Builder detectAll();
      public native Builder penaltyLog();
      public native ThreadPolicy build();
    }
  }
}
