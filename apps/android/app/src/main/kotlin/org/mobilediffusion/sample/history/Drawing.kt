package org.mobilediffusion.sample.history

import org.mobilediffusion.core.PromptSyntax
import org.mobilediffusion.core.styled
import java.io.File

/** How a picture came about: with these a model draws it again, unless it started from another picture or followed one. */
data class Drawing(
    /** As it was typed, without the style. */
    val prompt: String,
    /** The style that was chosen, or "". */
    val style: String,
    val seed: ULong,
    /** Scale of guidance; null when it was the model's own. */
    val guidance: Double?,
    /** Name of the model's folder. */
    val model: String,
    /** From the request to the picture. */
    val milliseconds: Long,
    /** Share of the steps that were made of a picture, which is not kept; null when it was drawn from noise. */
    val strength: Double? = null,
    /** How the prompt writes weights. */
    val syntax: PromptSyntax = PromptSyntax.PLAIN,
) {
    /** The prompt as the model read it. */
    val fullPrompt: String get() = styled(prompt, style)
}

/** A picture of the history. */
data class SavedDrawing(
    /** Pictures are numbered in the order they were drawn, whatever the clock says. */
    val number: Int,
    val file: File,
    val drawing: Drawing,
)
