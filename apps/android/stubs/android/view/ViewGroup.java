package android.view;

import android.content.Context;
import android.util.AttributeSet;

/** A stub of Android's ViewGroup: what the app uses of it, to compile against. */
public abstract class ViewGroup extends View {
  public ViewGroup(Context context, AttributeSet attributes) {
    super(context, attributes);
  }

  public native int getChildCount();
  public native View getChildAt(int index);
  public native void addView(View child);
  public native void removeAllViews();
}
