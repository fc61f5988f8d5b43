package org.mobilediffusion.core

import org.junit.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Prompts with weights and of several windows, read as the golden file says. */
class PromptTest {
    private val golden = Golden.read("prompts.json")
    private val tokenizer =
        Tokenizer.read(
            TokenizerSpec(golden["kind"].text, golden["max_tokens"].int.toLong(), listOf("tokenizer.json")),
            listOf(Golden.file(golden["tokenizer"].text).readText()),
        )

    @Test fun `prompts of the golden file`() =
        inEveryLocale {
            for (case in golden["cases"].items) {
                val found =
                    Reading.of(tokenizer, case["prompt"].text, syntaxOf(case["syntax"].text), case["windows"].int)
                assertEquals((case["cut"] as JsonFlag).value, found.cut, "$case")
                assertEquals((case["empty"] as JsonFlag).value, found.empty != null, "$case")
                val versions = case["versions"].items
                assertEquals(versions.size, found.versions.size, "$case")
                versions.zip(found.versions).forEach { (expected, version) -> check(expected, version) }
            }
        }

    private fun check(
        expected: Json,
        found: Version,
    ) {
        val share = (expected["share"] as JsonNumber).text.toDouble()
        assertTrue(Math.abs(found.share - share) <= 1e-12 * share, "$expected")
        val windows = expected["windows"].items
        assertEquals(windows.size, found.windows.size)
        for ((window, own) in windows.zip(found.windows)) {
            val count = own.tokens.mask.sum()
            assertEquals(window["ids"].ints, own.tokens.ids.take(count))
            val weights = window["weights"].items.map { (it as JsonNumber).text.toDouble() }
            assertEquals(weights, own.weights.take(count))
            assertTrue(own.weights.drop(count).all { it == 1.0 })
        }
    }

    @Test fun `prompts that are refused`() {
        for (case in golden["refused"].items) {
            val error =
                assertFailsWith<PromptException> {
                    Reading.of(tokenizer, case["prompt"].text, syntaxOf(case["syntax"].text), 1)
                }
            assertTrue(case["message"].text in error.message!!, error.message)
        }
        val long =
            assertFailsWith<PromptException> { Reading.of(tokenizer, "a".repeat(10_001), PromptSyntax.A1111, 1) }
        assertTrue("at most 10,000 characters" in long.message!!)
    }
}
