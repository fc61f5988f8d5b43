package android.content.res;

/** A stub of Android's AssetManager: what the app uses of it, to compile against. */
public final class AssetManager {
  public native String[] list(String path) throws java.io.IOException;
  public native java.io.InputStream open(String path) throws java.io.IOException;
}
