package android.app;

/** A stub of Android's NotificationManager: what the app uses of it, to compile against. */
public class NotificationManager {
  public static final int IMPORTANCE_LOW = 2;

  public native void createNotificationChannel(NotificationChannel channel);
}
