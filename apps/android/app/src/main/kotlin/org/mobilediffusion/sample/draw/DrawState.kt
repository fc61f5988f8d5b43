package org.mobilediffusion.sample.draw

import org.mobilediffusion.core.DrawEvent
import org.mobilediffusion.core.Picture
import org.mobilediffusion.core.Stage
import org.mobilediffusion.sample.history.SavedDrawing

/** How far a drawing is. */
sealed interface Phase {
    data object Idle : Phase

    /** Something else is drawn or measured, and has to end first. */
    data object Waiting : Phase

    /** The model's files are checked against their hashes. */
    data object Opening : Phase

    data class Loading(
        val stage: Stage,
    ) : Phase

    data class Drawing(
        /** 1 to [steps]. */
        val step: Int,
        val steps: Int,
    ) : Phase

    data class Done(
        val milliseconds: Long,
    ) : Phase

    data object Cancelled : Phase

    data class Failed(
        /** One line, shown as it is. */
        val line: String,
    ) : Phase
}

/** What the draw screen shows of a drawing. */
data class DrawState(
    val phase: Phase = Phase.Idle,
    /** The picture, or the latents on their way to it; null before the first. */
    val picture: Picture? = null,
    /** The picture in the history, once it is there. */
    val saved: SavedDrawing? = null,
    /** Which of several pictures is drawn, from 1, and how many they are. */
    val picturesDrawn: Pair<Int, Int> = 1 to 1,
    /** Whether the model knows no word of what was typed, so that the picture may be anything. */
    val wordsUnknown: Boolean = false,
) {
    /** Whether something is under way that can be cancelled. */
    val isBusy: Boolean get() = isPreparing || phase is Phase.Drawing

    /** Whether what is under way has no steps to count. */
    val isPreparing: Boolean get() = phase is Phase.Waiting || phase is Phase.Opening || phase is Phase.Loading

    /** The state after an event.  A loading between steps keeps what is on the screen. */
    fun after(event: DrawEvent): DrawState =
        when (event) {
            is DrawEvent.Loading -> {
                copy(phase = Phase.Loading(event.stage))
            }

            is DrawEvent.Step -> {
                copy(
                    phase = Phase.Drawing(event.step, event.steps),
                    picture = event.preview ?: picture,
                )
            }

            is DrawEvent.Finished -> {
                copy(phase = Phase.Done(event.milliseconds), picture = event.picture)
            }
        }

    companion object {
        /** A drawing begins; the picture before it stays until the first preview. */
        fun opening(before: DrawState) = DrawState(Phase.Opening, before.picture)
    }
}
