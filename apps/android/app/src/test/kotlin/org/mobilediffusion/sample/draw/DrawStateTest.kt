package org.mobilediffusion.sample.draw

import org.mobilediffusion.core.DrawEvent
import org.mobilediffusion.core.PromptException
import org.mobilediffusion.core.Stage
import org.mobilediffusion.sample.history.Drawing
import org.mobilediffusion.sample.pictureOf
import java.util.Locale
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertSame
import kotlin.test.assertTrue

class DrawStateTest {
    @Test
    fun `a drawing goes from opening to the picture`() {
        val (first, second, last) = List(3) { pictureOf() }
        var state = DrawState.opening(DrawState(Phase.Failed("before"), first))
        assertTrue(state.isBusy)
        assertSame(first, state.picture)
        state = state.after(DrawEvent.Loading(Stage.DENOISE))
        assertEquals(Phase.Loading(Stage.DENOISE), state.phase)
        state = state.after(DrawEvent.Step(1, 8, second)).after(DrawEvent.Step(2, 8, null))
        assertEquals(Phase.Drawing(2, 8), state.phase)
        assertSame(second, state.picture)
        state = state.after(DrawEvent.Finished(last, 3400))
        assertEquals(Phase.Done(3400), state.phase)
        assertSame(last, state.picture)
        assertFalse(state.isBusy)
    }

    @Test
    fun `a form asks for what is typed`() {
        val request = DrawForm(" a cat ", "3d", "${ULong.MAX_VALUE}", "2.5").request(STYLES, true)
        assertEquals("a cat, 3d", request.prompt)
        assertEquals(ULong.MAX_VALUE, request.seed)
        assertEquals(2.5, request.guidance)
        assertEquals(null, DrawForm("a cat", guidance = "2.5").request(STYLES, false).guidance)
        assertEquals("", DrawForm("", "3d").request(STYLES, true).prompt)
    }

    @Test
    fun `a prompt is sent as typed but for a style of the model that was chosen`() {
        assertEquals("a cat", DrawForm("a cat").request(STYLES, true).prompt)
        assertEquals("a cat, flat", DrawForm("a cat", "flat").request(STYLES, true).prompt)
        assertEquals("a cat", DrawForm("a cat", "flat").request(listOf("3d"), true).prompt)
        assertEquals("a cat", DrawForm("a cat", "3d").request(emptyList(), true).prompt)
    }

    @Test
    fun `digits and points are the same in every locale`() {
        val before = Locale.getDefault()
        try {
            for (tag in listOf("tr-TR", "de-DE", "ar-EG-u-nu-arab", "fa-IR")) {
                Locale.setDefault(Locale.forLanguageTag(tag))
                assertEquals(1.5, DrawForm("x", seed = "12", guidance = "1.5").request(STYLES, true).guidance, tag)
                assertFailsWith<PromptException>(tag) { DrawForm("x", guidance = "1,5").request(STYLES, true) }
                assertFailsWith<PromptException>(tag) { DrawForm("x", seed = "١٢").request(STYLES, true) }
            }
        } finally {
            Locale.setDefault(before)
        }
    }

    @Test
    fun `seeds that are none are refused in one line`() {
        for (seed in listOf("", "-1", "1.0", "18446744073709551616", "0x10", "seven\n")) {
            val form = DrawForm("x", seed = seed)
            val line = assertFailsWith<PromptException>(seed) { form.request(STYLES, true) }.message!!
            assertTrue(line.startsWith("seed: expected 0 to 18446744073709551615") && '\n' !in line, line)
        }
    }

    @Test
    fun `a picture of the history is asked for again`() {
        for (style in STYLES + "") {
            val form = DrawForm("a cat, sitting", style, "7", "2.5")
            val asked = form.request(STYLES, true)
            val drawing = Drawing(form.prompt, style, asked.seed, asked.guidance, "emoji", 1)
            assertEquals(asked.prompt, drawing.fullPrompt)
            assertEquals(form, DrawForm.of(drawing))
        }
    }

    private companion object {
        val STYLES = listOf("3d", "flat")
    }
}
