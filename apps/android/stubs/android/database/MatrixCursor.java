package android.database;

/** A stub of Android's MatrixCursor: what the app uses of it, to compile against. */
public class MatrixCursor implements Cursor {
  public MatrixCursor(String[] columns, int capacity) {}

  public native void addRow(Object[] values);
  public native void addRow(Iterable<?> values);
  @Override public native void close();
}
