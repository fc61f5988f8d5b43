package android.content;

import android.content.res.AssetManager;
import android.content.res.Resources;

/** A stub of Android's Context: what the app uses of it, to compile against. */
public abstract class Context {
  public static final String ACTIVITY_SERVICE = "activity";
  public static final String NOTIFICATION_SERVICE = "notification";
  public static final String POWER_SERVICE = "power";
  public static final int MODE_PRIVATE = 0;

  public abstract Object getSystemService(String name);
  public abstract SharedPreferences getSharedPreferences(String name, int mode);
  public abstract java.io.File getFilesDir();
  public abstract java.io.File getCacheDir();
  public abstract AssetManager getAssets();
  public abstract Resources getResources();
  public abstract ContentResolver getContentResolver();
  public abstract void startActivity(Intent intent);
  public abstract ComponentName startService(Intent intent);
  public abstract ComponentName startForegroundService(Intent intent);
  public abstract android.content.pm.ApplicationInfo getApplicationInfo();
  public final native int getColor(int id);
  public final native String getString(int id);
  public final native String getString(int id, Object... values);
}
