package android.graphics;

/** A stub of Android's Rect: what the app uses of it, to compile against. */
public final class Rect {
  public Rect(int left, int top, int right, int bottom) {}
}
