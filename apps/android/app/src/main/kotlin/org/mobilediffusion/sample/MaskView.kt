package org.mobilediffusion.sample

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.RectF
import android.util.AttributeSet
import android.view.MotionEvent
import android.view.View
import org.mobilediffusion.sample.draw.StartPicture

/** The picture to start from; a finger paints what of it is drawn anew. */
class MaskView(
    context: Context,
    attributes: AttributeSet?,
) : View(context, attributes) {
    private val paint = Paint().apply { isFilterBitmap = true }
    private val anew = Paint().apply { color = context.getColor(R.color.mask) }
    private val place = RectF()
    private var bitmap: Bitmap? = null
    private var start: StartPicture? = null

    fun show(start: StartPicture?) {
        if (start === this.start) return
        this.start = start
        bitmap = start?.let { bitmapOf(it.picture) }
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        val mask = start?.mask ?: return
        place.set(0f, 0f, width.toFloat(), height.toFloat())
        bitmap?.let { canvas.drawBitmap(it, null, place, paint) }
        val (across, down) = width.toFloat() / mask.width to height.toFloat() / mask.height
        for (row in 0 until mask.height) {
            for (column in 0 until mask.width) {
                if (!mask[column, row]) continue
                val (left, top) = column * across to row * down
                canvas.drawRect(left, top, left + across, top + down, anew)
            }
        }
    }

    override fun onTouchEvent(event: MotionEvent): Boolean {
        val mask = start?.mask ?: return false
        parent.requestDisallowInterceptTouchEvent(true) // the screen does not scroll while it is painted
        mask.paint(event.x / width, event.y / height)
        invalidate()
        return true
    }

    override fun onMeasure(
        widthMeasureSpec: Int,
        heightMeasureSpec: Int,
    ) {
        super.onMeasure(widthMeasureSpec, heightMeasureSpec)
        val picture = start?.picture ?: return
        val side = View.MeasureSpec.getSize(widthMeasureSpec)
        setMeasuredDimension(side, side * picture.height / picture.width)
    }
}
