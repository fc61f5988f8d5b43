package org.mobilediffusion.sample.draw

import org.mobilediffusion.core.DrawRequest
import org.mobilediffusion.core.PromptException
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
) {
    /** What it asks a model for that has these styles, and may take guidance.  Throws [PromptException]. */
    fun request(
        styles: List<String>,
        takesGuidance: Boolean,
    ): DrawRequest =
        DrawRequest(
            prompt = styled(prompt.trim(), styleOf(styles)),
            seed = parseSeed(seed.trim()) ?: refuse("seed", "0 to ${ULong.MAX_VALUE}", seed),
            guidance = if (takesGuidance) scale() else null,
        )

    /** The style, or "" when it is none of a model's. */
    fun styleOf(styles: List<String>): String = style.takeIf { it in styles }.orEmpty()

    private fun scale(): Double? {
        val text = guidance.trim()
        if (text.isEmpty()) return null
        return parseDecimal(text) ?: refuse("guidance", "a number up to 30", text)
    }

    private fun refuse(
        field: String,
        expected: String,
        got: String,
    ): Nothing = throw PromptException("$field: expected $expected, got ${quoted(got)}")

    companion object {
        /** The form that draws a picture of the history again. */
        fun of(drawing: Drawing): DrawForm {
            val guidance = drawing.guidance?.toString().orEmpty()
            return DrawForm(drawing.prompt, drawing.style, drawing.seed.toString(), guidance)
        }
    }
}
