package org.mobilediffusion.sample.draw

import org.mobilediffusion.core.DrawEvent
import org.mobilediffusion.core.PromptException
import org.mobilediffusion.core.PromptSyntax
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
        val request = DrawForm(" a cat ", "3d", "${ULong.MAX_VALUE}", "2.5").requests(GUIDED).first()
        assertEquals("a cat, 3d", request.prompt)
        assertEquals(ULong.MAX_VALUE, request.seed)
        assertEquals(2.5, request.guidance)
        assertEquals(null, DrawForm("a cat", guidance = "2.5").requests(PLAIN).first().guidance)
        assertEquals("", DrawForm("", "3d").requests(GUIDED).first().prompt)
    }

    @Test
    fun `a prompt is sent as typed but for a style of the model that was chosen`() {
        assertEquals("a cat", DrawForm("a cat").requests(GUIDED).first().prompt)
        assertEquals("a cat, flat", DrawForm("a cat", "flat").requests(GUIDED).first().prompt)
        assertEquals("a cat", DrawForm("a cat", "flat").requests(PLAIN).first().prompt)
    }

    @Test
    fun `digits and points are the same in every locale`() {
        val before = Locale.getDefault()
        try {
            for (tag in listOf("tr-TR", "de-DE", "ar-EG-u-nu-arab", "fa-IR")) {
                Locale.setDefault(Locale.forLanguageTag(tag))
                assertEquals(1.5, DrawForm("x", seed = "12", guidance = "1.5").requests(GUIDED).first().guidance, tag)
                assertFailsWith<PromptException>(tag) { DrawForm("x", guidance = "1,5").requests(GUIDED).first() }
                assertFailsWith<PromptException>(tag) { DrawForm("x", seed = "١٢").requests(GUIDED).first() }
            }
        } finally {
            Locale.setDefault(before)
        }
    }

    @Test
    fun `seeds that are none are refused in one line`() {
        for (seed in listOf("", "-1", "1.0", "18446744073709551616", "0x10", "seven\n")) {
            val form = DrawForm("x", seed = seed)
            val line = assertFailsWith<PromptException>(seed) { form.requests(GUIDED).first() }.message!!
            assertTrue(line.startsWith("seed: expected 0 to 18446744073709551615") && '\n' !in line, line)
        }
    }

    @Test
    fun `a picture of the history is asked for again`() {
        for (style in STYLES + "") {
            val form = DrawForm("a cat, sitting", style, "7", "2.5")
            val asked = form.requests(GUIDED).first()
            val drawing = Drawing(form.prompt, style, asked.seed, asked.guidance, "emoji", 1)
            assertEquals(asked.prompt, drawing.fullPrompt)
            assertEquals(form, DrawForm.of(drawing))
        }
    }

    @Test
    fun `several pictures have seeds one after the other`() {
        val requests = DrawForm("a cat", seed = "${ULong.MAX_VALUE - 2u}", pictures = "3").requests(GUIDED)
        assertEquals(listOf(2uL, 1uL, 0uL), requests.map { ULong.MAX_VALUE - it.seed })
        for ((seed, pictures) in listOf("1" to "0", "1" to "17", "1" to "x", "${ULong.MAX_VALUE - 1u}" to "3")) {
            val form = DrawForm("a cat", seed = seed, pictures = pictures)
            val line = assertFailsWith<PromptException>(pictures) { form.requests(GUIDED) }.message!!
            assertTrue("expected" in line && '\n' !in line, line)
        }
    }

    @Test
    fun `a picture to start from goes to models that take one, with what was painted`() {
        val start = StartPicture(pictureOf(8, 4), MaskGrid(4, 2))
        val form = DrawForm("a cat", strength = "0.5", start = start)
        val whole = form.requests(GUIDED).first().start!!
        assertSame(start.picture, whole.picture)
        assertEquals(0.5 to null, whole.strength to whole.mask)
        start.mask.paint(0.9f, 0.2f)
        assertEquals("00000011".repeat(2) + "00000000".repeat(2), maskOf(form)!!.joinToString(""))
        start.mask.clear()
        assertEquals(null, maskOf(form))
        assertEquals(null, form.requests(PLAIN).first().start)
        assertFailsWith<PromptException> { form.copy(strength = "much").requests(GUIDED) }
    }

    @Test
    fun `a model that edits pictures is given the whole of it and no strength`() {
        val mask = MaskGrid(4, 2).apply { paint(0.9f, 0.2f) }
        val form = DrawForm("a cat", strength = "0.5", start = StartPicture(pictureOf(8, 4), mask))
        val model = Abilities(STYLES, takesGuidance = true, takesPictures = true, edits = true)
        val start = form.requests(model).first().start!!
        assertEquals(null to null, start.strength to start.mask)
    }

    @Test
    fun `each ControlNet is given its picture and strength, and other models none`() {
        val (first, second) = List(2) { pictureOf() }
        val form = DrawForm("a cat", hints = listOf(HintChoice(first, "0.5"), HintChoice(second, "")))
        val model = Abilities(STYLES, takesGuidance = true, takesPictures = false, controls = 2)
        val hints = form.requests(model).first().hints
        assertEquals(listOf(first to 0.5, second to 1.0), hints.map { it.picture to it.scale })
        assertEquals(emptyList(), form.requests(GUIDED).first().hints)
        val half = form.copy(hints = listOf(HintChoice(null), HintChoice(second)))
        assertEquals(
            1,
            half
                .requests(model)
                .first()
                .hints.size,
            "the pipeline says what is missing",
        )
        val wrong = form.copy(hints = listOf(HintChoice(first, "much")))
        val line = assertFailsWith<PromptException> { wrong.requests(model) }.message
        assertEquals("hint strength: expected a number from 0 to 2, got 'much'", line)
    }

    @Test
    fun `weights are read in the syntax that was chosen`() {
        for (syntax in PromptSyntax.entries) {
            val request = DrawForm("a (cat:1.3)", syntax = syntax).requests(PLAIN).first()
            assertEquals(syntax, request.syntax)
            val drawing = Drawing("a (cat:1.3)", "", 7uL, null, "emoji", 1, syntax = syntax)
            assertEquals(syntax, DrawForm.of(drawing).syntax)
        }
    }

    @Test
    fun `pictures of any size are cut to the model's, over white`() {
        assertEquals(Cover(200, 100, 50, 0), Cover.of(4000 to 2000, 100 to 100))
        assertEquals(Cover(100, 300, 0, 100), Cover.of(10 to 30, 100 to 100))
        assertEquals(Cover(64, 64, 0, 0), Cover.of(64 to 64, 64 to 64))
        val colors = intArrayOf(0x00FF0000, 0x80000000.toInt(), 0xFF102030.toInt())
        val bytes = StartPicture.pictureOf(3, 1, colors).rgb.map { it.toInt() and 0xFF }
        assertEquals(listOf(255, 255, 255, 127, 127, 127, 16, 32, 48), bytes)
    }

    private fun maskOf(form: DrawForm) = checkNotNull(form.requests(GUIDED).first().start).mask

    private companion object {
        val STYLES = listOf("3d", "flat")
        val GUIDED = Abilities(STYLES, takesGuidance = true, takesPictures = true)
        val PLAIN = Abilities(listOf("3d"), takesGuidance = false, takesPictures = false)
    }
}
