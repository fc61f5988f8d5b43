package org.mobilediffusion.sample

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.ImageDecoder
import android.graphics.Rect
import android.net.Uri
import android.os.Build
import org.mobilediffusion.core.Picture
import org.mobilediffusion.sample.draw.Cover
import org.mobilediffusion.sample.draw.StartPicture

/** A picture as the views take it. */
fun bitmapOf(picture: Picture): Bitmap {
    val rgb = picture.rgb
    val colors =
        IntArray(picture.width * picture.height) { pixel ->
            val place = 3 * pixel
            OPAQUE or (byteAt(rgb, place) shl 16) or (byteAt(rgb, place + 1) shl 8) or byteAt(rgb, place + 2)
        }
    return Bitmap.createBitmap(colors, picture.width, picture.height, Bitmap.Config.ARGB_8888)
}

/** Whether [readPicture] is there: from Android 9. */
val readsPictures: Boolean get() = Build.VERSION.SDK_INT >= Build.VERSION_CODES.P

/** The middle of a picture that was chosen, upright, in [size] pixels; blocks; throws IOException, SecurityException. */
fun readPicture(
    resolver: ContentResolver,
    address: Uri,
    size: Pair<Int, Int>,
): Picture {
    val (width, height) = size
    val bitmap =
        ImageDecoder.decodeBitmap(ImageDecoder.createSource(resolver, address)) { decoder, info, _ ->
            val cover = Cover.of(info.size.width to info.size.height, size)
            decoder.setTargetSize(cover.width, cover.height)
            decoder.crop = Rect(cover.left, cover.top, cover.left + width, cover.top + height)
            decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE // pixels that can be read
            decoder.isUnpremultipliedRequired = true
        }
    val colors = IntArray(width * height)
    bitmap.getPixels(colors, 0, width, 0, 0, width, height)
    return StartPicture.pictureOf(width, height, colors)
}

private fun byteAt(
    bytes: ByteArray,
    place: Int,
): Int = bytes[place].toInt() and 0xFF

private const val OPAQUE = 0xFF shl 24
