package org.mobilediffusion.core

import org.junit.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class JsonReaderTest {
    private fun read(text: String): Json = JsonReader.read(text, "test")

    @Test fun values() {
        val text = """ { "a" : [ 1 , -2.5e-3 , true , false , null , "\u00e9\n\/\"\\ 🍎" ] , "b" : { } , "c" : [ ] } """
        assertEquals("""{"a":[1,-2.5e-3,true,false,null,"é\u000a/\"\\ 🍎"],"b":{},"c":[]}""", written(read(text)))
    }

    /** As it is written, characters beyond the BMP as themselves. */
    private fun written(value: Json): String =
        value.toString().replace(Regex("""\\u(d8[0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})""")) { found ->
            found.groupValues.drop(1).joinToString("") { it.toInt(16).toChar().toString() }
        }

    @Test fun `what is written is read back`() {
        val text = (0..0x2030).map { it.toChar() }.joinToString("") + "🍎"
        assertEquals(JsonText(text), read(JsonText(text).toString()))
    }

    @Test fun `the last of two fields of one name counts`() =
        assertEquals("""{"a":2}""", read("""{"a":1,"a":2}""").toString())

    @Test fun `what is not JSON`() {
        val words =
            """{ } [1,] [,1] {"a":1,} {"a"} {a:1} {'a':1} nul truefalse NaN Infinity - +1 01 1. .5 1e 1e+ 0x1 1e999 [1;2]
            " "\" "\x" "\u12" "\u12g4" "\ud800" "\udc00\ud800" \u0031 /**/1 1// ١"""
        val others = listOf("", " ", "1 2", "[1 2]", "\"a\nb\"", "\"\t\"", "\uFEFF{}")
        val deep = listOf("[".repeat(100_000), "{\"a\":".repeat(100_000))
        val texts = words.split(Regex("\\s+")) + others + deep
        for (text in texts) {
            val error = assertFailsWith<BundleException>(text.take(40)) { read(text) }
            assertEquals("test: expected JSON, got something else; export the bundle again", error.message)
        }
    }
}
