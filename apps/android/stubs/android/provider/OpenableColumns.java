package android.provider;

/** A stub of Android's OpenableColumns: what the app uses of it, to compile against. */
public interface OpenableColumns {
  String DISPLAY_NAME = "_display_name";
  String SIZE = "_size";
}
