package android.os;

/** A stub of Android's Handler: what the app uses of it, to compile against. */
public class Handler {
  public Handler(Looper looper) {}

  public final native boolean post(Runnable action);
}
