package android.content.res;

import android.util.DisplayMetrics;

/** A stub of Android's Resources: what the app uses of it, to compile against. */
public class Resources {
  public native DisplayMetrics getDisplayMetrics();
}
