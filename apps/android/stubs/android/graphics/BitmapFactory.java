package android.graphics;

/** A stub of Android's BitmapFactory: what the app uses of it, to compile against. */
public class BitmapFactory {
  public static native Bitmap decodeFile(String path);
}
