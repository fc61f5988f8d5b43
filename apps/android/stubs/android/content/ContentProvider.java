package android.content;

import android.database.Cursor;
import android.net.Uri;
import android.os.ParcelFileDescriptor;

/** A stub of Android's ContentProvider: what the app uses of it, to compile against. */
public abstract class ContentProvider {
  public final native Context getContext();
  public abstract boolean onCreate();
  public abstract Cursor query(Uri uri, String[] projection, String selection, String[] arguments, String order);
  public abstract String getType(Uri uri);
  public abstract Uri insert(Uri uri, ContentValues values);
  public abstract int delete(Uri uri, String selection, String[] arguments);
  public abstract int update(Uri uri, ContentValues values, String selection, String[] arguments);
  public native ParcelFileDescriptor openFile(Uri uri, String mode) throws java.io.FileNotFoundException;
}
