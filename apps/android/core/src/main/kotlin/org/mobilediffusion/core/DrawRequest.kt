package org.mobilediffusion.core

/** What to draw. */
data class DrawRequest(
    /** What the picture shows; "" is the null condition. */
    val prompt: String,
    /** What it should not show; it has no effect without guidance, and none is allowed with distilled guidance. */
    val negative: String = "",
    /** The same seed gives the same picture everywhere. */
    val seed: ULong = 0u,
    /** Scale of guidance, up to 30, where 1 or less is no guidance; the bundle's own when null. */
    val guidance: Double? = null,
    /** A picture to start from; null starts from noise. */
    val start: Start? = null,
    /** How both prompts write weights. */
    val syntax: PromptSyntax = PromptSyntax.PLAIN,
    /** One per ControlNet, in their order. */
    val hints: List<Hint> = emptyList(),
    /** Those of the bundle's adapters, or of ones made for it later, that are on. */
    val adapters: List<ScaledAdapter> = emptyList(),
) {
    /** The same request with so many seeds, from its own on; throws [PromptException] for seeds that end before. */
    fun series(pictures: Int): List<DrawRequest> {
        if (seed > ULong.MAX_VALUE - (pictures - 1).toUInt()) {
            throw PromptException("seed: expected $pictures seeds from it on, got $seed; take a smaller one")
        }
        return List(pictures) { copy(seed = seed + it.toUInt()) }
    }

    /** A warning in one line for a negative prompt that has no effect with this bundle, or null. */
    fun unusedNegative(schedule: Schedule): String? {
        val scale = guidance ?: schedule.guidance
        if (negative.isEmpty() || scale > 1 || schedule.guidanceKind == "distilled") return null
        return "negative prompt: it has no effect at guidance ${plain(scale)}; use a guidance above 1"
    }
}

/** The largest scale of guidance. */
const val MAX_GUIDANCE = 30.0
