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

    /** The picture; nothing follows. */
    data class Finished(
        val picture: Picture,
        /** From the request to the picture, loading included. */
        val milliseconds: Long,
    ) : DrawEvent
}
