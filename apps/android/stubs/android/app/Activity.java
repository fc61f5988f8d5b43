package android.app;

import android.content.Context;
import android.content.ContextWrapper;
import android.content.Intent;
import android.os.Bundle;
import android.view.View;

/** A stub of Android's Activity: what the app uses of it, to compile against. */
public class Activity extends ContextWrapper {
  public static final int RESULT_OK = -1;
  public native Application getApplication();
  public native Intent getIntent();
  public native void setContentView(int layout);
  public native <T extends View> T findViewById(int id);
  public native void startActivityForResult(Intent intent, int requestCode);
  public native void overridePendingTransition(int enter, int exit);
  public native void finish();
  protected native void onCreate(Bundle savedInstanceState);
  protected native void onStart();
  protected native void onStop();
  protected native void onNewIntent(Intent intent);
  protected native void onSaveInstanceState(Bundle outState);
  protected native void onActivityResult(int requestCode, int resultCode, Intent data);
}
