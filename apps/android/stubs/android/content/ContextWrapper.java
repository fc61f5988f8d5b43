package android.content;

import android.content.res.AssetManager;
import android.content.res.Resources;

/** A stub of Android's ContextWrapper: what the app uses of it, to compile against. */
public class ContextWrapper extends Context {
  @Override public native Object getSystemService(String name);
  @Override public native SharedPreferences getSharedPreferences(String name, int mode);
  @Override public native java.io.File getFilesDir();
  @Override public native java.io.File getCacheDir();
  @Override public native AssetManager getAssets();
  @Override public native Resources getResources();
  @Override public native ContentResolver getContentResolver();
  @Override public native void startActivity(Intent intent);
  @Override public native ComponentName startService(Intent intent);
  @Override public native ComponentName startForegroundService(Intent intent);
  @Override public native android.content.pm.ApplicationInfo getApplicationInfo();
}
