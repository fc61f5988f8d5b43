package android.view;

import android.content.Context;

/** A stub of Android's LayoutInflater: what the app uses of it, to compile against. */
public abstract class LayoutInflater {
  public static native LayoutInflater from(Context context);
  public native View inflate(int layout, ViewGroup root);
  public native View inflate(int layout, ViewGroup root, boolean attach);
}
