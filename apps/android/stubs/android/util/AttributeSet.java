package android.util;

/** A stub of Android's AttributeSet: what the app uses of it, to compile against. */
public interface AttributeSet {}
