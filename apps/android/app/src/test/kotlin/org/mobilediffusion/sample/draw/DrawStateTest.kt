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
        val request = DrawForm(" a cat ", PromptStyle.THREE_D, "18446744073709551615", "2.5").request(true)
        assertEquals("a cat, 3d", request.prompt)
        assertEquals(ULong.MAX_VALUE, request.seed)
        assertEquals(2.5, request.guidance)
        assertEquals(null, DrawForm("a cat", guidance = "2.5").request(false).guidance)
        assertEquals("", DrawForm("").request(true).prompt)
    }

    @Test
    fun `digits and points are the same in every locale`() {
        val before = Locale.getDefault()
        try {
            for (tag in listOf("tr-TR", "de-DE", "ar-EG-u-nu-arab", "fa-IR")) {
                Locale.setDefault(Locale.forLanguageTag(tag))
                assertEquals(1.5, DrawForm("x", seed = "12", guidance = "1.5").request(true).guidance, tag)
                assertFailsWith<PromptException>(tag) { DrawForm("x", guidance = "1,5").request(true) }
                assertFailsWith<PromptException>(tag) { DrawForm("x", seed = "١٢").request(true) }
            }
        } finally {
            Locale.setDefault(before)
        }
    }

    @Test
    fun `seeds that are none are refused in one line`() {
        for (seed in listOf("", "-1", "1.0", "18446744073709551616", "0x10", "seven\n")) {
            val line = assertFailsWith<PromptException>(seed) { DrawForm("x", seed = seed).request(true) }.message!!
            assertTrue(line.startsWith("seed: expected 0 to 18446744073709551615") && '\n' !in line, line)
        }
    }

    @Test
    fun `a picture of the history is asked for again`() {
        for (style in PromptStyle.entries) {
            val form = DrawForm("a cat, sitting", style, "7", "2.5")
            val asked = form.request(true)
            val drawing = Drawing(asked.prompt, asked.seed, asked.guidance, "emoji", 1)
            assertEquals(form, DrawForm.of(drawing))
        }
    }
}
