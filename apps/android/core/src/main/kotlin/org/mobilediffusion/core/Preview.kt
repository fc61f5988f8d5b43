package org.mobilediffusion.core

/** How latents look: red, green and blue of a pixel are [weights] (3 rows of C) times its latents, plus [bias] (3). */
class Preview private constructor(
    private val weights: List<DoubleArray>,
    private val bias: DoubleArray,
) {
    /** Latents (1, C, h, w) as a picture of w x h pixels, computed in float64 and rounded half to even. */
    fun picture(latents: TensorValue.Floats): Picture {
        val (_, channels, height, width) = latents.shape
        val area = height * width
        val rgb = ByteArray(3 * area)
        for (pixel in 0 until area) {
            for (color in 0 until 3) {
                var sum = bias[color]
                for (channel in 0 until channels) {
                    sum +=
                        weights[color][channel] * latents.values[channel * area + pixel]
                }
                rgb[3 * pixel + color] = Math.rint(sum.coerceIn(0.0, 1.0) * 255.0).toInt().toByte()
            }
        }
        return Picture(width, height, rgb)
    }

    companion object {
        /** The file's name in a bundle. */
        const val FILE = "preview.json"

        /** Reads the text of a `preview.json`; [BundleException] unless it fits the manifest's latents. */
        internal fun read(
            text: String,
            manifest: Manifest,
            where: String,
        ): Preview {
            val fields = Fields(JsonReader.read(text, where), where, "weights", "bias")
            val channels = DrawSettings.of(manifest).latents.shape[1]
            val weights = fields.list("weights").map(::numbersOf)
            val bias = fields.numbers("bias")
            val fits = weights.size == 3 && weights.all { it.size == channels }
            if (!fits) fields.refuse("weights", "3 rows of $channels numbers")
            if (bias.size != 3) fields.refuse("bias", "3 numbers")
            return Preview(weights, bias.toDoubleArray())
        }

        /** The numbers of a list of numbers; none of anything else. */
        private fun numbersOf(row: Json): DoubleArray {
            val items = (row as? JsonList)?.items.orEmpty()
            val numbers = items.filterIsInstance<JsonNumber>()
            return if (numbers.size ==
                items.size
            ) {
                numbers.map { it.text.toDouble() }.toDoubleArray()
            } else {
                DoubleArray(0)
            }
        }
    }
}
