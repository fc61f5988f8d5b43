package android.content;

import android.net.Uri;

/** A stub of Android's ClipData: what the app uses of it, to compile against. */
public class ClipData {
  public static native ClipData newRawUri(CharSequence label, Uri uri);
}
