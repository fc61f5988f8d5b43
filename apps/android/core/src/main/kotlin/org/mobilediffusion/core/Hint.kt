package org.mobilediffusion.core

/** What one ControlNet reads. */
class Hint(
    /** As large as the model's pictures. */
    val picture: Picture,
    /** Strength of its effect, 0 to 2. */
    val scale: Double = 1.0,
)

/** The largest strength of a hint. */
const val MAX_HINT_SCALE = 2.0

/** What a drawing needs of its hints, one per ControlNet. */
internal class HintInputs(
    manifest: Manifest,
    private val settings: DrawSettings,
    private val hints: List<Hint>,
) {
    private val image = manifest.stage(Stage.ENCODE_HINT)?.input("hints")
    private val height = image?.shape?.get(2) ?: 0
    private val width = image?.shape?.get(3) ?: 0

    init {
        checkCount()
        hints.forEach(::check)
    }

    /** Inputs of `encode_hint`, (n, 3, H, W); null without ControlNets. */
    fun images(): Map<String, TensorValue>? {
        if (hints.isEmpty()) return null
        val all = hints.map { it.picture.toImage().values }
        val values = FloatArray(all.sumOf { it.size })
        all.forEachIndexed { place, each -> each.copyInto(values, place * each.size) }
        return mapOf("hints" to TensorValue.Floats(values, listOf(hints.size, 3, height, width)))
    }

    /** What `denoise` takes of encoded hints (n, C, h, w) at every step. */
    fun inputs(features: TensorValue.Floats?): Map<String, TensorValue> {
        if (features == null) return emptyMap()
        val scales = FloatArray(hints.size) { hints[it].scale.toFloat() }
        return mapOf("hint_features" to features, "hint_scales" to TensorValue.Floats(scales, listOf(hints.size)))
    }

    private fun checkCount() {
        val wanted = settings.controls
        if (hints.size == wanted) return
        val nets = "${if (wanted > 0) wanted else "no"} ControlNet${if (wanted == 1) "" else "s"}"
        val got = if (hints.isEmpty()) "none" else hints.size.toString()
        val fix = if (wanted > 0) "give one per ControlNet, in their order" else "leave it out"
        throw PromptException(
            "hint: expected ${if (wanted > 0) wanted else "none"}, as this model has $nets, got $got; $fix",
        )
    }

    private fun check(hint: Hint) {
        if (hint.picture.width != width || hint.picture.height != height) {
            val got = "${hint.picture.width} x ${hint.picture.height}"
            throw PromptException("hint: expected $width x $height pixels, got $got; resize it")
        }
        if (!(hint.scale >= 0 && hint.scale <= MAX_HINT_SCALE)) {
            val got = plain(hint.scale)
            throw PromptException("hint scale: expected a number from 0 to ${plain(MAX_HINT_SCALE)}, got $got")
        }
    }
}
