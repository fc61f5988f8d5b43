package android.widget;

import android.content.Context;

/** A stub of Android's Toast: what the app uses of it, to compile against. */
public class Toast {
  public static final int LENGTH_LONG = 1;

  public static native Toast makeText(Context context, CharSequence text, int duration);
  public native void show();
}
