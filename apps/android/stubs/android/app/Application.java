package android.app;

import android.content.ComponentCallbacks2;
import android.content.ContextWrapper;

/** A stub of Android's Application: what the app uses of it, to compile against. */
public class Application extends ContextWrapper implements ComponentCallbacks2 {
  public native void onCreate();
  @Override public native void onTrimMemory(int level);
  public native void onLowMemory();
}
