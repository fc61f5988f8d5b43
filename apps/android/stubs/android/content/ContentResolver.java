package android.content;

import android.net.Uri;

/** A stub of Android's ContentResolver: what the app uses of it, to compile against. */
public abstract class ContentResolver {
  public final native java.io.InputStream openInputStream(Uri uri) throws java.io.FileNotFoundException;
}
