package org.mobilediffusion.core

/** Pixels: [rgb] holds rows from the top, three bytes (red, green, blue) a pixel. */
class Picture(
    val width: Int,
    val height: Int,
    val rgb: ByteArray,
) {
    init {
        require(rgb.size.toLong() == 3L * width * height) { "expected $width x $height pixels, got ${rgb.size} bytes" }
    }

    /** The pixels as an image (1, 3, H, W) in [0, 1]. */
    internal fun toImage(): TensorValue.Floats {
        val area = width * height
        val values = FloatArray(3 * area) { ((rgb[3 * (it % area) + it / area].toInt() and 255) / 255.0).toFloat() }
        return TensorValue.Floats(values, listOf(1, 3, height, width))
    }

    companion object {
        /** An image (1, 3, H, W) in [0, 1] as pixels, rounded half to even; throws [ModelException] on NaN. */
        fun of(image: TensorValue.Floats): Picture {
            val (_, _, height, width) = image.shape
            checkFinite("image", image.values)
            val area = height * width
            val rgb = ByteArray(3 * area)
            for (channel in 0 until 3) {
                for (pixel in 0 until area) rgb[3 * pixel + channel] = toByte(image.values[channel * area + pixel])
            }
            return Picture(width, height, rgb)
        }
    }
}

/** A value in [0, 1] as 0..255; values outside are cut.  The product is rounded to float32, as in every language. */
internal fun toByte(value: Float): Byte = Math.rint((value.coerceIn(0f, 1f) * 255f).toDouble()).toInt().toByte()

/** Throws [ModelException] naming [name] and how many values are NaN or infinite. */
internal fun checkFinite(
    name: String,
    values: FloatArray,
) {
    val wrong = values.count { !it.isFinite() }
    if (wrong == 0) return
    throw ModelException(
        "$name: expected finite values, got $wrong NaN or infinite of ${values.size}; " +
            "the weights, or the precision of the artifact, are at fault",
    )
}
