package org.mobilediffusion.core

import org.junit.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class TokenizerTest {
    private class Cases(
        name: String,
    ) {
        val golden = Golden.read("tokens-$name.json")
        val cases = golden["cases"].items
        val maxTokens = golden["max_tokens"].int
        val spec = TokenizerSpec(golden["kind"].text, maxTokens.toLong(), listOf("tokenizer.json"))
        val definition = Golden.file(golden["tokenizer"].text).readText()
        val tokenizer = Tokenizer.read(spec, listOf(definition))
    }

    private fun check(name: String) {
        val golden = Cases(name)
        val padding = golden.golden["padding"].int
        assertTrue(golden.cases.size >= 2000)
        inEveryLocale {
            for (case in golden.cases) {
                val ids = case["ids"].ints
                val tokens = golden.tokenizer.encode(case["prompt"].text)
                val rest = golden.maxTokens - ids.size
                assertEquals(ids + List(rest) { padding }, tokens.ids.toList(), "ids of $case")
                assertEquals(List(ids.size) { 1 } + List(rest) { 0 }, tokens.mask.toList(), "mask of $case")
                assertEquals("known" !in (case as JsonObject).fields, tokens.known, "known of $case")
                assertTrue(tokens.count == ids.size || (tokens.count > ids.size && rest == 0), "count of $case")
            }
        }
        for (case in golden.golden["refused"].items) {
            val error = assertFailsWith<PromptException> { golden.tokenizer.encode(case["prompt"].text) }
            assertTrue(case["message"].text in error.message!!, error.message)
        }
    }

    @Test fun wordPieces() = check("wordpiece")

    @Test fun clip() = check("clip")

    @Test fun addedTokens() = check("added")

    @Test fun `a prompt of a million characters is read, and one more is not`() {
        val tokenizer = Cases("wordpiece").tokenizer
        val apple = "\uD83C\uDF4E" // one character, two chars
        assertContentEquals(intArrayOf(101, 100, 102, 0), tokenizer.encode("a".repeat(1_000_000)).ids.copyOf(4))
        tokenizer.encode(apple.repeat(1_000_000))
        val error = assertFailsWith<PromptException> { tokenizer.encode(apple.repeat(1_000_001)) }
        assertTrue("at most 1,000,000 characters, got 1000001" in error.message!!)
    }

    @Test fun `half of a surrogate pair is refused`() {
        for (prompt in listOf("\uD83C", "a\uDF4E", "\uD83C\uD83C\uDF4E", "\uDF4E\uD83C")) {
            val error = assertFailsWith<PromptException> { Cases("clip").tokenizer.encode(prompt) }
            assertTrue("valid Unicode" in error.message!!)
        }
    }

    @Test fun `a long word takes no long time`() {
        for (name in listOf("wordpiece", "clip")) {
            val tokenizer = Cases(name).tokenizer
            val start = System.nanoTime()
            tokenizer.encode("w".repeat(100_000))
            tokenizer.encode("\u0301".repeat(100_000))
            assertTrue(System.nanoTime() - start < 5_000_000_000, name)
        }
    }

    @Test fun `another tokenizer is refused in one line`() {
        val golden = Cases("wordpiece")
        val changes =
            listOf(
                "\"WordPiece\"" to "\"BPE\"",
                "\"lowercase\":true" to "\"lowercase\":false",
                "\"BertPreTokenizer\"" to "\"Whitespace\"",
                "\"single_word\":false" to "\"single_word\":true",
                "\"[SEP]\"" to "\"[END]\"",
                "\"model\":" to "\"brain\":",
                "\"vocab\":{" to "\"vocab\":{\"a b\":1.5,",
            )
        for ((old, new) in changes) {
            val text = JsonReader.read(golden.definition, "").toString()
            assertTrue(old in text, old)
            refuses(golden.spec, text.replace(old, new))
        }
        listOf("", "hello", "[]", "{}", "null").forEach { refuses(golden.spec, it) }
        refuses(golden.spec, Cases("clip").definition)
        refuses(Cases("clip").spec, golden.definition)
    }

    @Test fun `a kind from the future and a length without room are refused`() {
        val golden = Cases("wordpiece")
        val future = refuses(TokenizerSpec("unigram", 24, listOf("a")), golden.definition)
        assertTrue("wordpiece, clip-bpe or clip-bpe-pair, got 'unigram'; update" in future)
        for (length in listOf(2L, -1L, Long.MAX_VALUE)) {
            val message = refuses(TokenizerSpec("wordpiece", length, listOf("a")), golden.definition)
            assertTrue("max_tokens of at least 3" in message)
        }
    }

    private fun refuses(
        spec: TokenizerSpec,
        definition: String,
    ): String {
        val message = assertFailsWith<BundleException> { Tokenizer.read(spec, listOf(definition)) }.message!!
        assertTrue("expected" in message && '\n' !in message, message)
        return message
    }
}
