package android.content;

import android.net.Uri;

/** A stub of Android's Intent: what the app uses of it, to compile against. */
public class Intent {
  public static final String ACTION_SEND = "android.intent.action.SEND";
  public static final String ACTION_OPEN_DOCUMENT = "android.intent.action.OPEN_DOCUMENT";
  public static final String CATEGORY_OPENABLE = "android.intent.category.OPENABLE";
  public static final String EXTRA_STREAM = "android.intent.extra.STREAM";
  public static final String EXTRA_TEXT = "android.intent.extra.TEXT";
  public static final int FLAG_GRANT_READ_URI_PERMISSION = 1;
  public static final int FLAG_ACTIVITY_REORDER_TO_FRONT = 0x20000;

  public Intent(String action) {}

  public Intent(Context context, Class<?> screen) {}

  public native Uri getData();
  public native Intent setType(String type);
  public native Intent addFlags(int flags);
  public native Intent addCategory(String category);
  public native Intent putExtra(String name, int value);
  public native Intent putExtra(String name, String value);
  public native Intent putExtra(String name, android.os.Parcelable value);
  public native String getStringExtra(String name);
  public native boolean getBooleanExtra(String name, boolean otherwise);
  public native int getIntExtra(String name, int otherwise);
  public native ClipData getClipData();
  public native void setClipData(ClipData clip);
  public static native Intent createChooser(Intent target, CharSequence title);
}
