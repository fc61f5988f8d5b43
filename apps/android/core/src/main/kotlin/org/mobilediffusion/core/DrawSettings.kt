package org.mobilediffusion.core

/** What a model does. */
internal enum class Task {
    DRAW,

    /** It also reads a mask and the rest of a picture. */
    INPAINT,

    /** It edits a picture by an instruction. */
    EDIT,
}

/** What has to be known of a bundle to draw with it. */
internal class DrawSettings private constructor(
    /** (1, C, h, w). */
    val latents: TensorSpec,
    /** (1, L), or (1, 2, L) where the prompt is read by two tokenizers. */
    val tokens: TensorSpec,
    /** Whether the text encoder takes a mask. */
    val usesMask: Boolean,
    /** What the model does. */
    val task: Task,
    val schedule: Schedule,
) {
    /** What the solver remembers, (1, M * C, h, w). */
    val memoryShape: List<Int> =
        latents.shape.mapIndexed { axis, size -> if (axis == 1) schedule.memory * size else size }

    companion object {
        /** What an app can give to each stage. */
        private val INPUTS =
            mapOf(
                Stage.ENCODE_TEXT to setOf("tokens", "mask"),
                Stage.DENOISE to
                    setOf("latents", "step", "null_output", "guidance", "memory", "noise") +
                    setOf("context", "pooled", "null_context", "null_pooled") +
                    setOf("mask", "masked_latents", "image_latents", "image_guidance"),
                Stage.DECODE_IMAGE to setOf("latents"),
                Stage.ENCODE_IMAGE to setOf("image"),
            )

        /** Throws [BundleException] when the stages do not take latents and give an image, or take something else. */
        fun of(manifest: Manifest): DrawSettings {
            val latents = manifest.stage(Stage.DENOISE)?.input("latents")
            val image = manifest.stage(Stage.DECODE_IMAGE)?.output("image")
            val drawn = latents?.shape?.size == 4 && image?.shape?.size == 4 && image.shape[1] == 3
            val tokens = manifest.stage(Stage.ENCODE_TEXT)?.input("tokens")
            val known = takesWhatIsKnown(manifest) && givesWhatIsRead(manifest)
            if (latents == null || tokens == null || !drawn || !known) {
                throw BundleException(
                    "${Manifest.NAME}: expected stages that take latents and give an image; ${Fields.FIX}",
                )
            }
            val usesMask = manifest.stage(Stage.ENCODE_TEXT)?.input("mask") != null
            return DrawSettings(latents, tokens, usesMask, taskOf(manifest), manifest.schedule)
        }

        private fun takesWhatIsKnown(manifest: Manifest): Boolean =
            INPUTS.all { (stage, known) ->
                manifest
                    .stage(stage)
                    ?.inputs
                    .orEmpty()
                    .all { it.name in known }
            }

        private fun taskOf(manifest: Manifest): Task {
            val step = manifest.stage(Stage.DENOISE)
            return when {
                step?.input("masked_latents") != null -> Task.INPAINT
                step?.input("image_latents") != null -> Task.EDIT
                else -> Task.DRAW
            }
        }

        private fun givesWhatIsRead(manifest: Manifest): Boolean {
            val step = manifest.stage(Stage.DENOISE)
            val remembers = manifest.schedule.memory == 0 || step?.output("memory") != null
            val evaluated = manifest.schedule.shares.isEmpty() || step?.output("output") != null
            val context = manifest.stage(Stage.ENCODE_TEXT)?.output("context")
            val encoder = manifest.stage(Stage.ENCODE_IMAGE)
            val encodes = if (encoder == null) taskOf(manifest) == Task.DRAW else encoder.output("latents") != null
            return context != null && encodes && step?.output("latents") != null && remembers && evaluated
        }
    }
}
