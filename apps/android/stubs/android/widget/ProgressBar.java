package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.View;

/** A stub of Android's ProgressBar: what the app uses of it, to compile against. */
public class ProgressBar extends View {
  public ProgressBar(Context context, AttributeSet attributes) {
    super(context, attributes);
  }

  public native boolean isIndeterminate();
  public native void setIndeterminate(boolean indeterminate);
  public native int getMax();
  public native void setMax(int max);
  public native int getProgress();
  public native void setProgress(int progress);
}
