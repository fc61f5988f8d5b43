package android.app;

import android.content.Context;
import android.content.DialogInterface;
import android.view.View;

/** A stub of Android's AlertDialog: what the app uses of it, to compile against. */
public class AlertDialog {
  /** A stub, as its outer class. */
  public static class Builder {
    public Builder(Context context) {}

    public native Builder setTitle(int text);
    public native Builder setMessage(int text);
    public native Builder setMessage(CharSequence text);
    public native Builder setView(View view);
    public native Builder setItems(CharSequence[] items, DialogInterface.OnClickListener listener);
    public native Builder setPositiveButton(int text, DialogInterface.OnClickListener listener);
    public native Builder setNegativeButton(int text, DialogInterface.OnClickListener listener);
    public native AlertDialog show();
  }
}
