package android.content;

/** A stub of Android's ContentValues: what the app uses of it, to compile against. */
public final class ContentValues {}
