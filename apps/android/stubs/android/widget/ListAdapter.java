package android.widget;

/** A stub of Android's ListAdapter: what the app uses of it, to compile against. */
public interface ListAdapter {}
