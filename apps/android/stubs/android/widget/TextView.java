package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.View;

/** A stub of Android's TextView: what the app uses of it, to compile against. */
public class TextView extends View {
  public TextView(Context context, AttributeSet attributes) {
    super(context, attributes);
  }

  public native CharSequence getText();
  public final native void setText(CharSequence text);
  public final native void setText(int text);
  public native CharSequence getHint();
  public final native void setHint(CharSequence text);
}
