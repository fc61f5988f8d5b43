package org.mobilediffusion.core

import kotlinx.coroutines.flow.last
import kotlinx.coroutines.runBlocking
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** What a runner gives is not trusted, and what cannot be drawn is refused before anything is loaded. */
class OutputsTest {
    @get:Rule val folder = TemporaryFolder()

    /** Gives outputs of zeros, changed by [change]. */
    private class Zeros(
        private val manifest: Manifest,
        private val change: (Stage, MutableMap<String, TensorValue.Floats>) -> Unit = { _, _ -> },
    ) : ModelRunner {
        var loads = 0

        override fun load(stage: Stage) {
            loads++
        }

        override fun unload(stage: Stage) = Unit

        override fun run(
            stage: Stage,
            inputs: Map<String, TensorValue>,
        ): Map<String, TensorValue.Floats> {
            val outputs =
                manifest.stage(stage)!!.outputs.associate {
                    it.name to
                        TensorValue.Floats(FloatArray(it.count), it.shape)
                }
            return outputs.toMutableMap().also { change(stage, it) }
        }
    }

    private fun bundle(name: String) = ModelBundle.open(Trajectory(name).writeTo(folder.newFolder()))

    private fun refusal(
        request: DrawRequest = DrawRequest("a"),
        change: (Stage, MutableMap<String, TensorValue.Floats>) -> Unit,
    ): String {
        val bundle = bundle("multistep")
        val pipeline = Pipeline(bundle, Zeros(bundle.manifest, change))
        return assertFailsWith<ModelException> { runBlocking { pipeline.draw(request).last() } }.message!!
    }

    @Test fun `an output of another shape, or none`() {
        val lost = refusal { _, outputs -> outputs.remove("memory") }
        assertTrue(lost.startsWith("denoise: expected memory of shape") && lost.endsWith("got none"), lost)
        val cut = refusal { _, outputs -> outputs.replaceAll { _, _ -> TensorValue.Floats(FloatArray(1), listOf(1)) } }
        assertTrue(cut.startsWith("encode_text: expected context of shape") && cut.endsWith("got [1]"), cut)
    }

    @Test fun `not a number`() {
        for ((value, output) in listOf(
            Float.NaN to "latents",
            Float.POSITIVE_INFINITY to "latents",
            Float.NaN to "image",
        )) {
            val message = refusal { _, outputs -> outputs[output]?.values?.set(1, value) }
            assertTrue(message.startsWith("$output: expected finite values, got 1 NaN or infinite of"), message)
        }
    }

    private fun refused(
        name: String,
        request: DrawRequest,
    ): String {
        val bundle = bundle(name)
        val runner = Zeros(bundle.manifest)
        val pipeline = Pipeline(bundle, runner)
        val error = assertFailsWith<PromptException> { runBlocking { pipeline.draw(request).last() } }
        assertEquals(0, runner.loads)
        return error.message!!
    }

    @Test fun `a request that cannot be drawn`() =
        inEveryLocale {
            assertTrue("without NUL bytes" in refused("ddim", DrawRequest("a\u0000")))
            assertTrue("without NUL bytes" in refused("ddim", DrawRequest("a", negative = "\u0000")))
            for ((scale, text) in listOf(31.0 to "31", Double.NaN to "NaN", Double.NEGATIVE_INFINITY to "-Infinity")) {
                val message = refused("ddim", DrawRequest("a", guidance = scale))
                assertEquals("guidance: expected a number up to 30, got $text", message)
            }
        }

    @Test fun `guidance that is in the weights`() {
        assertTrue("as guidance is in this model's weights" in refused("lcm", DrawRequest("a", negative = "b")))
        val message = refused("lcm", DrawRequest("a", guidance = 2.5))
        assertTrue("which it was distilled with, got 2.5" in message, message)
    }

    @Test fun `a model without guidance`() {
        val message = refused("unguided", DrawRequest("a", guidance = 2.5))
        assertTrue("exported without guidance, got 2.5; export it with --guidance 2.5" in message, message)
    }

    @Test fun `a scale of one or less is drawn, and a negative prompt is said to have no effect`() {
        for (name in listOf("ddim", "unguided")) {
            val bundle = bundle(name)
            for (scale in listOf(-1.0, 0.0, 0.5, 1.0)) {
                val request = DrawRequest("a", "b", guidance = scale)
                runBlocking { Pipeline(bundle, Zeros(bundle.manifest)).draw(request).last() }
                val line = request.unusedNegative(bundle.manifest.schedule)
                assertTrue(line!!.startsWith("negative prompt: it has no effect at guidance "), line)
            }
            assertNull(DrawRequest("a", guidance = 0.0).unusedNegative(bundle.manifest.schedule))
        }
        assertNull(DrawRequest("a", "b", guidance = 1.5).unusedNegative(bundle("ddim").manifest.schedule))
        assertNull(DrawRequest("a", "b").unusedNegative(bundle("lcm").manifest.schedule))
    }

    @Test fun `a long prompt is drawn, and its tokens say that it is cut`() {
        val bundle = bundle("ddim")
        val tokens = bundle.tokenizer.encode("cat ".repeat(100))
        assertTrue(tokens.count > bundle.tokenizer.maxTokens)
        runBlocking { Pipeline(bundle, Zeros(bundle.manifest)).draw(DrawRequest("cat ".repeat(100))).last() }
    }
}
