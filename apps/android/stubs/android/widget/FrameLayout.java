package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.ViewGroup;

/** A stub of Android's FrameLayout: what the app uses of it, to compile against. */
public class FrameLayout extends ViewGroup {
  public FrameLayout(Context context, AttributeSet attributes) {
    super(context, attributes);
  }
}
