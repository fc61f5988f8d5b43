package android.content;

/** A stub of Android's DialogInterface: what the app uses of it, to compile against. */
public interface DialogInterface {
  /** A stub, as its outer class. */
  interface OnClickListener {
    void onClick(DialogInterface dialog, int which);
  }
}
