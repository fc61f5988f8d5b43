package android.net;

/** A stub of Android's Uri: what the app uses of it, to compile against. */
public abstract class Uri implements android.os.Parcelable {
  public static native Uri parse(String text);
  public abstract String getPath();
}
