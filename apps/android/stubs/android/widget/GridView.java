package android.widget;

import android.content.Context;
import android.util.AttributeSet;

/** A stub of Android's GridView: what the app uses of it, to compile against. */
public class GridView extends AdapterView<ListAdapter> {
  public GridView(Context context, AttributeSet attributes) {
    super(context, attributes);
  }

  public native ListAdapter getAdapter();
  public native void setAdapter(ListAdapter adapter);
}
