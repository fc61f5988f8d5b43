package android.widget;

import android.content.Context;
import android.util.AttributeSet;

/** A stub of Android's Button: what the app uses of it, to compile against. */
public class Button extends TextView {
  public Button(Context context, AttributeSet attributes) {
    super(context, attributes);
  }
}
