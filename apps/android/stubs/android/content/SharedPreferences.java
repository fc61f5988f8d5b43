package android.content;

/** A stub of Android's SharedPreferences: what the app uses of it, to compile against. */
public interface SharedPreferences {
  String getString(String key, String otherwise);
  Editor edit();

  /** A stub, as its outer class. */
  interface Editor {
    Editor putString(String key, String value);
    void apply();
  }
}
