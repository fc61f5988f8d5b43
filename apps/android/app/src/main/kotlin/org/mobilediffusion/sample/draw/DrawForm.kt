package org.mobilediffusion.sample.draw

import org.mobilediffusion.core.DrawRequest
import org.mobilediffusion.core.Hint
import org.mobilediffusion.core.Manifest
import org.mobilediffusion.core.ModelBundle
import org.mobilediffusion.core.PromptException
import org.mobilediffusion.core.PromptSyntax
import org.mobilediffusion.core.Start
import org.mobilediffusion.core.parseDecimal
import org.mobilediffusion.core.parseSeed
import org.mobilediffusion.core.styled
import org.mobilediffusion.sample.history.Drawing
import org.mobilediffusion.sample.quoted

/** What is typed and chosen on the draw screen, as it is typed. */
data class DrawForm(
    val prompt: String = "",
    /** One of the model's styles, or "". */
    val style: String = "",
    val seed: String = "7",
    /** Empty for the model's own. */
    val guidance: String = "",
    /** How many are drawn, with this seed and the following ones. */
    val pictures: String = "1",
    /** Share of the steps that are made of a picture to start from. */
    val strength: String = "0.8",
    val start: StartPicture? = null,
    val syntax: PromptSyntax = PromptSyntax.PLAIN,
    /** One per ControlNet, in their order. */
    val hints: List<HintChoice> = emptyList(),
) {
    /**
     * What it asks a model for, a request a picture; a style, guidance or start that the model does not have is left out.
     *
     * Throws [PromptException].
     */
    fun requests(model: Manifest): List<DrawRequest> = requests(Abilities.of(model))

    /** The same for a model of certain abilities. */
    internal fun requests(model: Abilities): List<DrawRequest> {
        val first = parseSeed(seed.trim()) ?: refuse("seed", "0 to ${ULong.MAX_VALUE}", seed)
        val one =
            DrawRequest(
                prompt = styled(prompt.trim(), styleOf(model.styles)),
                seed = first,
                guidance = if (model.takesGuidance) decimal("guidance", "a number up to 30", guidance) else null,
                start = if (model.takesPictures) start(model) else null,
                syntax = syntax,
                hints = hints.take(model.controls).mapNotNull(::hint),
            )
        return one.series(count())
    }

    /** The style, or "" when it is none of a model's. */
    fun styleOf(styles: List<String>): String = style.takeIf { it in styles }.orEmpty()

    private fun count(): Int =
        pictures.trim().toIntOrNull()?.takeIf { it in 1..MOST } ?: refuse("pictures", "1 to $MOST", pictures)

    private fun start(model: Abilities): Start? {
        val chosen = start ?: return null
        if (model.edits) return Start(chosen.picture)
        val share = decimal("strength", "a number above 0 and up to 1", strength) ?: DEFAULT_STRENGTH
        return Start(chosen.picture, share, chosen.mask.mask(chosen.picture.width, chosen.picture.height))
    }

    private fun hint(choice: HintChoice): Hint? {
        val scale = decimal("hint strength", "a number from 0 to 2", choice.scale) ?: 1.0
        return choice.picture?.let { Hint(it, scale) }
    }

    /** The number of a field; null when it is empty. */
    private fun decimal(
        field: String,
        expected: String,
        text: String,
    ): Double? = text.trim().ifEmpty { null }?.let { parseDecimal(it) ?: refuse(field, expected, text) }

    private fun refuse(
        field: String,
        expected: String,
        got: String,
    ): Nothing = throw PromptException("$field: expected $expected, got ${quoted(got)}")

    companion object {
        /** Pictures that are drawn one after the other at most. */
        const val MOST = 16
        private const val DEFAULT_STRENGTH = 0.8

        /** The form that draws a picture of the history again. */
        fun of(drawing: Drawing): DrawForm {
            val guidance = drawing.guidance?.toString().orEmpty()
            val seed = drawing.seed.toString()
            return DrawForm(drawing.prompt, drawing.style, seed, guidance, syntax = drawing.syntax)
        }
    }
}

/** What a model can be asked for. */
internal class Abilities(
    val styles: List<String>,
    val takesGuidance: Boolean,
    val takesPictures: Boolean,
    /** Whether it edits the whole picture, in every step. */
    val edits: Boolean = false,
    val controls: Int = 0,
) {
    companion object {
        fun of(model: Manifest): Abilities {
            val takesGuidance = model.schedule.guidanceKind == "cfg"
            val (takesPictures, edits) = (ModelBundle.startSizeOf(model) != null) to ModelBundle.editsPictures(model)
            return Abilities(model.styles, takesGuidance, takesPictures, edits, ModelBundle.controlsOf(model))
        }
    }
}
