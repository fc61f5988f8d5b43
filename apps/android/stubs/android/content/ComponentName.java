package android.content;

/** A stub of Android's ComponentName: what the app uses of it, to compile against. */
public final class ComponentName {}
