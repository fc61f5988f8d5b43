package org.mobilediffusion.core

/** A picture to start from. */
class Start(
    /** As large as the model's pictures. */
    val picture: Picture,
    /** Share of the steps that are made, above 0 to 1; null for 0.8, or for 1 with a model that reads the picture. */
    val strength: Double? = null,
    /** A byte for each pixel, rows from the top: 1 where it is drawn anew, 0 where it is kept; or null. */
    val mask: ByteArray? = null,
    /** Guidance towards the picture by a model that edits pictures, 1 to 30; [IMAGE_GUIDANCE] when null. */
    val imageGuidance: Double? = null,
)

/** Guidance towards the picture when none is asked for. */
const val IMAGE_GUIDANCE = 1.5

/** What a drawing needs of the picture that it starts from, if any: pure functions, on latents (1, C, h, w). */
internal class StartInputs(
    manifest: Manifest,
    private val settings: DrawSettings,
    private val start: Start?,
) {
    private val schedule = settings.schedule
    private val encoder = manifest.stage(Stage.ENCODE_IMAGE)?.input("image")
    private val height = encoder?.shape?.get(2) ?: 0
    private val width = encoder?.shape?.get(3) ?: 0

    init {
        if (start != null) checkPicture(start)
        checkTask()
    }

    /** The steps that are skipped. */
    val skipped =
        if (start ==
            null
        ) {
            0
        } else {
            skippedSteps(start.strength ?: if (settings.task == Task.DRAW) STRENGTH else 1.0)
        }

    private val mask = start?.mask?.let(::ofLatents)

    /** Whether a part of the picture is put back after each step. */
    val keeps = settings.task == Task.DRAW && mask != null

    /** Whether the drawing starts from noise alone, and the picture is what the mask keeps: as diffusers' inpainting. */
    val fromNoise = mask != null && skipped == 0

    /** Inputs of `encode_image` for the latents that the drawing starts from, or keeps; null without. */
    fun clean(): Map<String, TensorValue>? {
        val reads = settings.task == Task.EDIT || (settings.task == Task.INPAINT && skipped == 0)
        return if (start == null || reads) null else mapOf("image" to start.picture.toImage())
    }

    /** Inputs of `encode_image` for the latents that `denoise` reads at every step; null when it reads none. */
    fun read(): Map<String, TensorValue>? =
        when (settings.task) {
            Task.DRAW -> null
            Task.EDIT -> start?.let { mapOf("image" to it.picture.toImage()) }
            Task.INPAINT -> mapOf("image" to painted())
        }

    /** What `denoise` takes of those latents at every step; [guidance] is the scale towards the prompt, if there is one. */
    fun inputs(
        latents: TensorValue.Floats?,
        guidance: Float?,
    ): Map<String, TensorValue> {
        if (latents == null) return emptyMap()
        if (settings.task == Task.INPAINT) return mapOf("mask" to floatMask(), "masked_latents" to latents)
        if (guidance == null) return mapOf("image_latents" to latents)
        val scale = if (guidance > 1) start?.imageGuidance ?: IMAGE_GUIDANCE else 1.0
        return mapOf(
            "image_latents" to latents,
            "image_guidance" to TensorValue.Floats(floatArrayOf(scale.toFloat()), listOf(1)),
        )
    }

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

    /** The picture, grey where it is drawn anew: all of it without a picture. */
    private fun painted(): TensorValue.Floats {
        val pixels = start?.mask
        if (start == null ||
            pixels == null
        ) {
            return TensorValue.Floats(FloatArray(3 * height * width) { GREY }, listOf(1, 3, height, width))
        }
        val image = start.picture.toImage()
        val values = FloatArray(image.values.size) { if (pixels[it % pixels.size] != NONE) GREY else image.values[it] }
        return TensorValue.Floats(values, image.shape)
    }

    /** The mask (1, 1, h, w); all ones without one. */
    private fun floatMask(): TensorValue.Floats {
        val (_, _, rows, columns) = settings.latents.shape
        return TensorValue.Floats(
            FloatArray(rows * columns) { mask?.get(it)?.toFloat() ?: 1f },
            listOf(1, 1, rows, columns),
        )
    }

    /** A mask of pixels for each place of the latents: the upper left pixel of its block decides. */
    private fun ofLatents(pixels: ByteArray): ByteArray {
        val (_, _, rows, columns) = settings.latents.shape
        return ByteArray(rows * columns) {
            pixels[
                it / columns * (height / rows) * width +
                    it % columns * (width / columns),
            ]
        }
    }

    private fun checkPicture(start: Start) {
        if (encoder == null) {
            throw PromptException(
                "picture: expected a bundle that was exported with --image-to-image, got one that was not; export it again",
            )
        }
        if (start.picture.width != width || start.picture.height != height) {
            val got = "${start.picture.width} x ${start.picture.height}"
            throw PromptException("picture: expected $width x $height pixels, got $got; resize it")
        }
        if (start.mask != null && start.mask.size != width * height) {
            throw PromptException("mask: expected ${width * height} values, got ${start.mask.size}")
        }
    }

    /** Refuses what the model's task lacks, and what has no meaning for it. */
    private fun checkTask() {
        val scale = start?.imageGuidance
        if (settings.task != Task.EDIT) {
            if (settings.task == Task.INPAINT && start != null && start.mask == null) {
                throw PromptException(
                    "mask: expected one with the picture, as this model inpaints, got none; give it one",
                )
            }
            if (scale == null) return
            throw PromptException("image guidance: expected none, as this model edits no pictures, got ${plain(scale)}")
        }
        if (start == null) {
            throw PromptException("picture: expected one, as this model edits a picture, got none; give it one")
        }
        if (start.mask != null) {
            throw PromptException("mask: expected none, as this model edits the whole picture, got one; leave it out")
        }
        if (start.strength != null && start.strength != 1.0) {
            val got = plain(start.strength)
            throw PromptException("strength: expected 1, as this model makes every step, got $got; leave it out")
        }
        if (scale != null && !(scale >= 1 && scale <= MAX_GUIDANCE)) {
            throw PromptException(
                "image guidance: expected a number from 1 to ${plain(MAX_GUIDANCE)}, got ${plain(scale)}",
            )
        }
    }

    private fun skippedSteps(strength: Double): Int {
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

    private companion object {
        const val STRENGTH = 0.8
        const val GREY = 0.5f
        const val NONE: Byte = 0
    }
}
