package android.app;

import android.content.ContextWrapper;
import android.content.Intent;
import android.os.IBinder;

/** A stub of Android's Service: what the app uses of it, to compile against. */
public abstract class Service extends ContextWrapper {
  public static final int START_NOT_STICKY = 2;

  public abstract IBinder onBind(Intent intent);

  public native void onDestroy();
  public final native void stopSelf();
  public native int onStartCommand(Intent intent, int flags, int startId);
  public final native void startForeground(int id, Notification notification);
}
