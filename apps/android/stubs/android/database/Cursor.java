package android.database;

/** A stub of Android's Cursor: what the app uses of it, to compile against. */
public interface Cursor extends java.io.Closeable {}
