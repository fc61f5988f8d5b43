package android.app;

/** A stub of Android's NotificationChannel: what the app uses of it, to compile against. */
public final class NotificationChannel {
  public NotificationChannel(String id, CharSequence name, int importance) {}
}
