package org.mobilediffusion.sample.draw

import org.mobilediffusion.core.DrawRequest
import org.mobilediffusion.core.PromptException
import org.mobilediffusion.core.parseDecimal
import org.mobilediffusion.core.parseSeed
import org.mobilediffusion.sample.history.Drawing
import org.mobilediffusion.sample.quoted

/** What is typed and chosen on the draw screen, as it is typed. */
data class DrawForm(
    val prompt: String = "",
    val style: PromptStyle = PromptStyle.THREE_D,
    val seed: String = "7",
    /** Empty for the model's own. */
    val guidance: String = "",
) {
    /** What it asks for; [takesGuidance] says whether the model does.  Throws [PromptException]. */
    fun request(takesGuidance: Boolean): DrawRequest =
        DrawRequest(
            prompt = style.applyTo(prompt.trim()),
            seed = parseSeed(seed.trim()) ?: refuse("seed", "0 to ${ULong.MAX_VALUE}", seed),
            guidance = if (takesGuidance) scale() else null,
        )

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
            val (prompt, style) = PromptStyle.split(drawing.prompt)
            return DrawForm(prompt, style, drawing.seed.toString(), drawing.guidance?.toString().orEmpty())
        }
    }
}
