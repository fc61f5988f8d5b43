package android.os;

/** A stub of Android's ParcelFileDescriptor: what the app uses of it, to compile against. */
public class ParcelFileDescriptor {
  public static final int MODE_READ_ONLY = 0x10000000;

  public static native ParcelFileDescriptor open(java.io.File file, int mode) throws java.io.FileNotFoundException;
}
