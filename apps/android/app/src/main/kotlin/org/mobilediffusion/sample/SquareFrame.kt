package org.mobilediffusion.sample

import android.content.Context
import android.util.AttributeSet
import android.view.View
import android.widget.FrameLayout

/** As high as it is wide, and not higher than most of the screen, so that a turned phone shows the rest, too. */
class SquareFrame(
    context: Context,
    attributes: AttributeSet?,
) : FrameLayout(context, attributes) {
    init {
        clipToOutline = true // what lies in it has the background's round corners
    }

    override fun onMeasure(
        widthMeasureSpec: Int,
        heightMeasureSpec: Int,
    ) {
        val most = (resources.displayMetrics.heightPixels * MOST).toInt()
        val side = minOf(View.MeasureSpec.getSize(widthMeasureSpec), most)
        val exactly = View.MeasureSpec.makeMeasureSpec(side, View.MeasureSpec.EXACTLY)
        super.onMeasure(exactly, exactly)
    }

    private companion object {
        const val MOST = 0.6
    }
}
