package org.mobilediffusion.sample

import android.graphics.Bitmap
import org.mobilediffusion.core.Picture

/** A picture as the views take it. */
fun bitmapOf(picture: Picture): Bitmap {
    val colors =
        IntArray(picture.width * picture.height) { pixel ->
            val (red, green, blue) = List(3) { picture.rgb[3 * pixel + it].toInt() and 0xFF }
            OPAQUE or (red shl 16) or (green shl 8) or blue
        }
    return Bitmap.createBitmap(colors, picture.width, picture.height, Bitmap.Config.ARGB_8888)
}

private const val OPAQUE = 0xFF shl 24
