package android.view;

import android.content.Context;
import android.content.res.Resources;
import android.util.AttributeSet;

/** A stub of Android's View: what the app uses of it, to compile against. */
public class View {
  public static final int VISIBLE = 0;
  public static final int INVISIBLE = 4;
  public static final int GONE = 8;

  public View(Context context, AttributeSet attributes) {}

  public native <T extends View> T findViewById(int id);
  public final native Context getContext();
  public native Resources getResources();
  public native Object getTag();
  public native void setTag(Object tag);
  public final native boolean getClipToOutline();
  public native void setClipToOutline(boolean clip);
  public native int getVisibility();
  public native void setVisibility(int visibility);
  public native boolean isSelected();
  public native void setSelected(boolean selected);
  public native CharSequence getContentDescription();
  public native void setContentDescription(CharSequence text);
  public native void setOnClickListener(OnClickListener listener);
  public final native int getWidth();
  public final native int getHeight();
  public final native ViewParent getParent();
  public native void invalidate();
  public native boolean onTouchEvent(MotionEvent event);
  protected native void onDraw(android.graphics.Canvas canvas);
  protected final native void setMeasuredDimension(int width, int height);
  protected native void onMeasure(int widthMeasureSpec, int heightMeasureSpec);

  /** A stub, as its outer class. */
  public interface OnClickListener {
    void onClick(View view);
  }

  /** A stub, as its outer class. */
  public static class MeasureSpec {
    public static final int EXACTLY = 1 << 30;

    public static native int getSize(int measureSpec);
    public static native int makeMeasureSpec(int size, int mode);
  }
}
