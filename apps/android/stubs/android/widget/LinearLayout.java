package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.ViewGroup;

/** A stub of Android's LinearLayout: what the app uses of it, to compile against. */
public class LinearLayout extends ViewGroup {
  public LinearLayout(Context context, AttributeSet attributes) {
    super(context, attributes);
  }
}
