package android.os;

/** A stub of Android's Build: what the app uses of it, to compile against. */
public class Build {
  public static final String HARDWARE = value();
  public static final String MANUFACTURER = value();
  public static final String MODEL = value();
  public static final String SOC_MODEL = value();
  public static final String[] SUPPORTED_ABIS = {};

  /** A stub, as its outer class. */
  public static class VERSION {
    public static final int SDK_INT = value().length();
    public static final String RELEASE = value();
  }

  /** A stub, as its outer class. */
  public static class VERSION_CODES {
    public static final int P = 28;
  }

  private static String value() {
    return "";
  }
}
