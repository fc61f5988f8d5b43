package android.graphics;

import android.content.ContentResolver;
import android.net.Uri;
import android.util.Size;

/** A stub of Android's ImageDecoder: what the app uses of it, to compile against. */
public final class ImageDecoder {
  public static final int ALLOCATOR_SOFTWARE = 1;

  public static native Source createSource(ContentResolver resolver, Uri address);
  public static native Bitmap decodeBitmap(Source source, OnHeaderDecodedListener listener) throws java.io.IOException;

  public native void setTargetSize(int width, int height);
  public native Rect getCrop();
  public native void setCrop(Rect crop);
  public native int getAllocator();
  public native void setAllocator(int allocator);
  public native boolean isUnpremultipliedRequired();
  public native void setUnpremultipliedRequired(boolean required);

  /** A stub, as its outer class. */
  public abstract static class Source {}

  /** A stub, as its outer class. */
  public static class ImageInfo {
    public native Size getSize();
  }

  /** A stub, as its outer class. */
  public interface OnHeaderDecodedListener {
    void onHeaderDecoded(ImageDecoder decoder, ImageInfo info, Source source);
  }
}
