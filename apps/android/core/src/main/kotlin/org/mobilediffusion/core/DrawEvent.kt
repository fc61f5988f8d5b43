package org.mobilediffusion.core

/** What happens while a picture is drawn, in order. */
sealed interface DrawEvent {
    /** A stage is about to be loaded. */
    data class Loading(
        val stage: Stage,
    ) : DrawEvent

    /** A step has been taken. */
    data class Step(
        /** 1 to [steps]. */
        val step: Int,
        val steps: Int,
        /** The latents as a small picture; null when the bundle does not say how they look. */
        val preview: Picture?,
    ) : DrawEvent

    /** A picture; nothing follows the last. */
    data class Finished(
        val picture: Picture,
        /** From the request, or the picture before, to this one, loading included. */
        val milliseconds: Long,
    ) : DrawEvent
}
