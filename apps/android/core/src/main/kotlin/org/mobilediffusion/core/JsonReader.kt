package org.mobilediffusion.core

/**
 * Reads one JSON text (RFC 8259) into [Json].
 *
 * As strict as the other languages' readers: no byte order mark, no NaN, no number beyond float64, no half of a
 * surrogate pair, and no nesting that exhausts the stack.
 */
internal class JsonReader private constructor(
    private val text: String,
) {
    private var place = 0

    private fun document(): Json {
        val value = value(0)
        skipSpace()
        if (place < text.length) fail()
        return value
    }

    private fun value(depth: Int): Json {
        if (depth > MAX_DEPTH) fail()
        skipSpace()
        return when (peek()) {
            '{' -> fields(depth)
            '[' -> items(depth)
            '"' -> JsonText(text())
            't' -> literal("true", JsonFlag(true))
            'f' -> literal("false", JsonFlag(false))
            'n' -> literal("null", JsonNull)
            else -> number()
        }
    }

    private fun fields(depth: Int): JsonObject {
        val fields = LinkedHashMap<String, Json>()
        sequence('{', '}') {
            skipSpace()
            val name = text()
            skipSpace()
            expect(':')
            fields[name] = value(depth + 1)
        }
        return JsonObject(fields)
    }

    private fun items(depth: Int): JsonList {
        val items = ArrayList<Json>()
        sequence('[', ']') { items += value(depth + 1) }
        return JsonList(items)
    }

    private inline fun sequence(
        open: Char,
        close: Char,
        element: () -> Unit,
    ) {
        expect(open)
        skipSpace()
        if (peek() != close) {
            element()
            skipSpace()
            while (peek() == ',') {
                place++
                element()
                skipSpace()
            }
        }
        expect(close)
    }

    private fun text(): String {
        expect('"')
        val found = StringBuilder()
        while (peek() != '"') {
            val char = text[place++]
            if (char < ' ') fail()
            found.append(if (char == '\\') escape() else char)
        }
        place++
        if (!isWellFormed(found)) fail()
        return found.toString()
    }

    private fun escape(): Char {
        val char = peek()
        place++
        if (char == 'u') return hexadecimal()
        val known = ESCAPES.indexOf(char)
        if (known < 0) fail()
        return ESCAPED[known]
    }

    private fun hexadecimal(): Char {
        if (place + 4 > text.length) fail()
        val digits = text.substring(place, place + 4)
        if (!digits.all { it in '0'..'9' || it in 'a'..'f' || it in 'A'..'F' }) fail()
        place += 4
        return digits.toInt(16).toChar()
    }

    private fun number(): JsonNumber {
        val start = place
        if (peek() == '-') place++
        if (peek() == '0') place++ else digits()
        if (place < text.length && text[place] == '.') {
            place++
            digits()
        }
        if (place < text.length && text[place] in "eE") {
            place++
            if (peek() in "+-") place++
            digits()
        }
        val number = text.substring(start, place)
        if (!number.toDouble().isFinite()) fail()
        return JsonNumber(number)
    }

    private fun digits() {
        val start = place
        while (place < text.length && text[place] in '0'..'9') place++
        if (place == start) fail()
    }

    private fun literal(
        word: String,
        value: Json,
    ): Json {
        if (!text.startsWith(word, place)) fail()
        place += word.length
        return value
    }

    private fun skipSpace() {
        while (place < text.length && text[place] in " \t\r\n") place++
    }

    private fun peek(): Char = if (place < text.length) text[place] else fail()

    private fun expect(char: Char) {
        if (peek() != char) fail()
        place++
    }

    private fun fail(): Nothing = throw NotJson()

    private class NotJson : Exception()

    companion object {
        private const val MAX_DEPTH = 200
        private const val ESCAPES = "\"\\/bfnrt"
        private const val ESCAPED = "\"\\/\b\u000c\n\r\t"

        /** The JSON of a text; throws [BundleException] naming [where] when it is not JSON. */
        fun read(
            text: String,
            where: String,
        ): Json =
            try {
                JsonReader(text).document()
            } catch (_: NotJson) {
                throw BundleException("$where: expected JSON, got something else; export the bundle again")
            }
    }
}
