package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.View;
import android.view.ViewGroup;

/** A stub of Android's AdapterView: what the app uses of it, to compile against. */
public abstract class AdapterView<T> extends ViewGroup {
  public AdapterView(Context context, AttributeSet attributes) {
    super(context, attributes);
  }

  public native void setOnItemClickListener(OnItemClickListener listener);

  /** A stub, as its outer class. */
  public interface OnItemClickListener {
    void onItemClick(AdapterView<?> parent, View view, int position, long id);
  }
}
