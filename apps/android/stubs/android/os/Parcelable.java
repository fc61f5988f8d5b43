package android.os;

/** A stub of Android's Parcelable: what the app uses of it, to compile against. */
public interface Parcelable {}
