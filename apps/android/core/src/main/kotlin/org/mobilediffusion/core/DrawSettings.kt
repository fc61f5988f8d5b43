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
    /** ControlNets, each of which reads a hint. */
    val controls: Int,
    val schedule: Schedule,
    /** Windows of a prompt, each encoded by itself. */
    val windows: Int,
    /** Width of the context per text encoder, in order. */
    val textWidths: List<Int>,
    /** Shape (n, r, P) of the factors of n adapters; empty for a model without them. */
    val adapters: List<Int>,
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
                    setOf("mask", "masked_latents", "image_latents", "image_guidance") +
                    setOf("hint_features", "hint_scales", "adapters", "adapter_scales"),
                Stage.DECODE_IMAGE to setOf("latents"),
                Stage.ENCODE_IMAGE to setOf("image"),
                Stage.ENCODE_HINT to setOf("hints"),
            )

        /** Throws [BundleException] when the stages do not take latents and give an image, or take something else. */
        fun of(manifest: Manifest): DrawSettings {
            val latents = manifest.stage(Stage.DENOISE)?.input("latents")
            val decoded = manifest.stage(Stage.DECODE_IMAGE)?.input("latents")
            if (latents != null && decoded != null && latents.shape != decoded.shape) {
                throw BundleException(
                    "${Manifest.NAME}: expected pictures that are decoded whole, as this app joins no tiles; " +
                        "export it without --tile",
                )
            }
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
            val (windows, widths) = windowsOf(manifest) to manifest.textWidths
            val (task, controls) = taskOf(manifest) to controlsOf(manifest)
            val adapters = adaptersOf(manifest)
            return DrawSettings(latents, tokens, usesMask, task, controls, manifest.schedule, windows, widths, adapters)
        }

        private fun adaptersOf(manifest: Manifest): List<Int> {
            val step = manifest.stage(Stage.DENOISE)
            val shape = step?.input("adapters")?.shape.orEmpty()
            val scales = step?.input("adapter_scales")?.shape.orEmpty()
            if (scales == shape.take(1) && shape.size in listOf(0, 3)) return shape
            throw BundleException(
                "${Manifest.NAME}: expected factors and scales of as many adapters; ${Fields.FIX}",
            )
        }

        /** The windows that the context of `denoise` has; throws [BundleException] unless they fill it. */
        private fun windowsOf(manifest: Manifest): Int {
            val one = manifest.stage(Stage.ENCODE_TEXT)?.output("context")?.shape
            val all = manifest.stage(Stage.DENOISE)?.input("context")?.shape
            val length = manifest.tokenizer.maxTokens.toInt()
            val width = manifest.textWidths.sum()
            val fits = length > 0 && one == listOf(1, length, width) && all?.size == 3 && all[2] == width
            if (fits && all[1] % length == 0) return all[1] / length
            throw BundleException(
                "${Manifest.NAME}: expected a context of whole windows of the tokenizer's length; ${Fields.FIX}",
            )
        }

        private fun takesWhatIsKnown(manifest: Manifest): Boolean =
            INPUTS.all { (stage, known) ->
                manifest
                    .stage(stage)
                    ?.inputs
                    .orEmpty()
                    .all { it.name in known }
            }

        fun taskOf(manifest: Manifest): Task {
            val step = manifest.stage(Stage.DENOISE)
            return when {
                step?.input("masked_latents") != null -> Task.INPAINT
                step?.input("image_latents") != null -> Task.EDIT
                else -> Task.DRAW
            }
        }

        fun controlsOf(manifest: Manifest): Int =
            manifest
                .stage(Stage.DENOISE)
                ?.input("hint_scales")
                ?.shape
                ?.firstOrNull() ?: 0

        private fun givesWhatIsRead(manifest: Manifest): Boolean {
            val step = manifest.stage(Stage.DENOISE)
            val remembers = manifest.schedule.memory == 0 || step?.output("memory") != null
            val evaluated = manifest.schedule.shares.isEmpty() || step?.output("output") != null
            val context = manifest.stage(Stage.ENCODE_TEXT)?.output("context")
            val encoder = manifest.stage(Stage.ENCODE_IMAGE)
            val encodes = if (encoder == null) taskOf(manifest) == Task.DRAW else encoder.output("latents") != null
            val hinted = manifest.stage(Stage.ENCODE_HINT)?.output("hint_features") != null
            if (hinted != controlsOf(manifest) > 0) return false
            return context != null && encodes && step?.output("latents") != null && remembers && evaluated
        }
    }
}
