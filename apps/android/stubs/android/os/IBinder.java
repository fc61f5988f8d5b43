package android.os;

/** A stub of Android's IBinder: what the app uses of it, to compile against. */
public interface IBinder {}
