package android.os;

/** A stub of Android's PowerManager: what the app uses of it, to compile against. */
public final class PowerManager {
  public native int getCurrentThermalStatus();
}
