package org.mobilediffusion.sample.draw

import org.mobilediffusion.core.Picture

/** A picture that the user chose to start from, and what of it he painted. */
class StartPicture(
    val picture: Picture,
    val mask: MaskGrid,
) {
    companion object {
        /** Pixels 0xAARRGGBB, rows from the top, as a picture; what is transparent shows white. */
        fun pictureOf(
            width: Int,
            height: Int,
            colors: IntArray,
        ): Picture {
            val rgb = ByteArray(3 * width * height)
            for (pixel in colors.indices) {
                val color = colors[pixel]
                val alpha = color ushr ALPHA
                for (channel in 0 until 3) {
                    val value = (color ushr (BITS * (2 - channel))) and FULL
                    rgb[3 * pixel + channel] = ((value * alpha + FULL * (FULL - alpha) + FULL / 2) / FULL).toByte()
                }
            }
            return Picture(width, height, rgb)
        }

        private const val ALPHA = 24
        private const val BITS = 8
        private const val FULL = 255
    }
}

/** How a picture of any size fills another: first scaled to [width] x [height], then cut from [left] and [top]. */
data class Cover(
    val width: Int,
    val height: Int,
    val left: Int,
    val top: Int,
) {
    companion object {
        /** The middle of a picture of `from` pixels, as large as fits into `to` pixels. */
        fun of(
            from: Pair<Int, Int>,
            to: Pair<Int, Int>,
        ): Cover {
            val scale = maxOf(to.first.toDouble() / from.first, to.second.toDouble() / from.second)
            val width = maxOf(to.first, Math.round(from.first * scale).toInt())
            val height = maxOf(to.second, Math.round(from.second * scale).toInt())
            return Cover(width, height, (width - to.first) / 2, (height - to.second) / 2)
        }
    }
}
