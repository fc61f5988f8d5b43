package org.mobilediffusion.core

/** A picture to start from. */
class Start(
    /** As large as the model's pictures. */
    val picture: Picture,
    /** Share of the steps that are made, above 0 to 1. */
    val strength: Double = 0.8,
    /** A byte for each place of the latents, rows from the top: 1 where it is drawn anew, 0 where it is kept; or null. */
    val mask: ByteArray? = null,
)

/** What a drawing that starts from a picture needs of it: pure functions, on latents (1, C, h, w). */
internal class StartInputs(
    manifest: Manifest,
    private val settings: DrawSettings,
    private val start: Start,
) {
    private val schedule = settings.schedule
    private val mask = start.mask

    init {
        val image = manifest.stage(Stage.ENCODE_IMAGE)?.input("image")
        if (image == null) {
            throw PromptException(
                "picture: expected a bundle that was exported with --image-to-image, got one that was not; export it again",
            )
        }
        val (_, _, height, width) = image.shape
        if (start.picture.width != width || start.picture.height != height) {
            val got = "${start.picture.width} x ${start.picture.height}"
            throw PromptException("picture: expected $width x $height pixels, got $got; resize it")
        }
        val places = settings.latents.shape[2] * settings.latents.shape[3]
        if (mask != null && mask.size != places) {
            throw PromptException("mask: expected $places values, got ${mask.size}")
        }
    }

    /** The steps that are skipped. */
    val skipped = skippedSteps()

    /** Whether the drawing starts from noise alone, and the picture is what the mask keeps: as diffusers' inpainting. */
    val fromNoise = mask != null && skipped == 0

    /** Whether a part of the picture is kept. */
    val keeps = mask != null

    /** Inputs of `encode_image`. */
    fun image(): Map<String, TensorValue> = mapOf("image" to start.picture.toImage())

    /** Clean latents at the noise level before a row of the table; after the last, at null, they stay clean. */
    fun noised(
        clean: TensorValue.Floats,
        noise: TensorValue.Floats,
        row: Int?,
    ): TensorValue.Floats {
        if (row == null) return clean
        val alpha = schedule.alphas[row].toFloat()
        val sigma = schedule.sigmas[row].toFloat()
        val values = FloatArray(clean.values.size) { alpha * clean.values[it] + sigma * noise.values[it] }
        return TensorValue.Floats(values, clean.shape)
    }

    /** Latents with the picture put back where the mask keeps it. */
    fun kept(
        latents: TensorValue.Floats,
        picture: TensorValue.Floats,
    ): TensorValue.Floats {
        if (mask == null) return latents
        val values =
            FloatArray(latents.values.size) {
                val anew = mask[it % mask.size].toFloat()
                anew * latents.values[it] + (1f - anew) * picture.values[it]
            }
        return TensorValue.Floats(values, latents.shape)
    }

    private fun skippedSteps(): Int {
        val strength = start.strength
        if (!(strength > 0 && strength <= 1)) {
            throw PromptException("strength: expected a number above 0 and up to 1, got ${plain(strength)}")
        }
        val steps = if (schedule.starts.isEmpty()) schedule.alphas.size else schedule.starts.size
        val made = (steps * strength).toInt().coerceAtMost(steps)
        if (made == 0) {
            throw PromptException("strength: expected 1/$steps or more for $steps steps, got ${plain(strength)}")
        }
        return steps - made
    }
}
