package android.app;

import android.content.Context;

/** A stub of Android's Notification: what the app uses of it, to compile against. */
public class Notification {
  /** A stub, as its outer class. */
  public static class Builder {
    public Builder(Context context) {}

    public Builder(Context context, String channel) {}

    public native Builder setSmallIcon(int icon);
    public native Builder setContentTitle(CharSequence title);
    public native Builder setOngoing(boolean ongoing);
    public native Notification build();
  }
}
