package android.content;

/** A stub of Android's ComponentCallbacks2: what the app uses of it, to compile against. */
public interface ComponentCallbacks2 {
  int TRIM_MEMORY_RUNNING_LOW = 10;
  int TRIM_MEMORY_UI_HIDDEN = 20;

  void onTrimMemory(int level);
}
