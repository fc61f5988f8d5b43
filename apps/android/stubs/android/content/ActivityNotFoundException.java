package android.content;

/** A stub of Android's ActivityNotFoundException: what the app uses of it, to compile against. */
public class ActivityNotFoundException extends RuntimeException {
  private static final long serialVersionUID = 1;
}
