package android.widget;

import android.view.View;
import android.view.ViewGroup;

/** A stub of Android's BaseAdapter: what the app uses of it, to compile against. */
public abstract class BaseAdapter implements ListAdapter {
  public abstract int getCount();
  public abstract Object getItem(int position);
  public abstract long getItemId(int position);
  public abstract View getView(int position, View convertView, ViewGroup parent);
}
