package android.widget;

import android.content.Context;
import android.util.AttributeSet;

/** A stub of Android's EditText: what the app uses of it, to compile against. */
public class EditText extends TextView {
  public EditText(Context context, AttributeSet attributes) {
    super(context, attributes);
  }
}
