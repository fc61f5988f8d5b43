package org.mobilediffusion.core

/**
 * Weights as the library Compel writes them: word++, word--, (some words)1.3, nested brackets and quotes.
 *
 * What does not parse, such as an unbalanced bracket, is text up to the next space.
 */
internal class Compel private constructor(
    private val text: String,
) {
    /** What was read, and where it ends. */
    private class Read(
        val pieces: List<Piece>,
        val end: Int,
    )

    private fun parse(): List<Piece> {
        val pieces = ArrayList<Piece>()
        var place = 0
        while (place < text.length) {
            if (text[place] in SPACE) {
                place++
                continue
            }
            val found = part(place, 0) ?: freeWord(place)
            pieces.addAll(found.pieces)
            place = found.end
        }
        return Pieces.fused(pieces, " ")
    }

    /** Brackets, quotes or a word: with an operator, or of the first two also without. */
    private fun part(
        place: Int,
        depth: Int,
    ): Read? {
        val group = brackets(place, depth) ?: quotes(place, depth)
        if (group != null) return weighted(group, true) ?: group
        return word(place)?.let { weighted(it, false) }
    }

    /** The target with the weight of the operator that follows it at once; null without one. */
    private fun weighted(
        target: Read,
        numbers: Boolean,
    ): Read? {
        var end = target.end
        val sign = text.getOrNull(end)
        var weight = 1.0
        if (sign == '+' || sign == '-') {
            while (text.getOrNull(end) == sign) {
                weight *= if (sign == '+') UP else DOWN
                end++
            }
        } else {
            if (numbers) end = numberEnd(end)
            if (end == target.end) return null
            weight = text.substring(target.end, end).toDouble()
        }
        return Read(target.pieces.map { Piece(it.text, it.weight * weight) }, end)
    }

    /** The end of "12", "1.", "1.5" or ".5" at a place. */
    private fun numberEnd(place: Int): Int {
        var end = digitsEnd(place)
        val whole = end > place
        if (text.getOrNull(end) != '.' || (!whole && digitsEnd(end + 1) == end + 1)) return end
        end = digitsEnd(end + 1)
        return end
    }

    private fun digitsEnd(place: Int): Int {
        var end = place
        while (end < text.length && text[end] in '0'..'9') end++
        return end
    }

    private fun brackets(
        place: Int,
        depth: Int,
    ): Read? {
        if (text[place] != '(') return null
        val found = inside(place + 1, depth + 1)
        return if (text.getOrNull(found.end) == ')') Read(found.pieces, found.end + 1) else null
    }

    private fun quotes(
        place: Int,
        depth: Int,
    ): Read? {
        if (text[place] != '"') return null
        var end = place + 1
        while (end < text.length && text[end] !in "\"\n\r") {
            end += if (text[end] == '\\' && text.getOrNull(end + 1) == '"') 2 else 1
        }
        if (text.getOrNull(end) != '"') return null
        val content = Compel(text.substring(place + 1, end))
        val found = content.inside(0, depth + 1)
        if (found.end != content.text.length) return null
        return Read(found.pieces.ifEmpty { listOf(Piece("", 1.0)) }, end + 1)
    }

    /** As much as can be read in brackets or quotes; it ends in front of what cannot. */
    private fun inside(
        start: Int,
        depth: Int,
    ): Read {
        if (depth > DEPTH) {
            throw PromptException("prompt: expected at most $DEPTH brackets inside each other, got more; remove some")
        }
        val pieces = ArrayList<Piece>()
        var place = start
        while (place < text.length) {
            if (text[place] in SPACE) {
                place++
                continue
            }
            val found = part(place, depth) ?: word(place) ?: sign(place) ?: break
            pieces.addAll(found.pieces)
            place = found.end
        }
        return Read(pieces, place)
    }

    private fun sign(place: Int): Read? =
        if (text[place] in ",.") Read(listOf(Piece(text[place].toString(), 1.0)), place + 1) else null

    /** A word without syntax, which a backslash, or of + and - a character behind it, makes part of a word. */
    private fun word(place: Int): Read? {
        var end = place
        while (end < text.length) {
            val following = text.getOrNull(end + 1)
            val sign = text[end] == '+' || text[end] == '-'
            end +=
                when {
                    text[end] == '\\' && following != null && following in SYNTAX -> 2
                    sign && following != null && following !in SPACE + SYNTAX -> 1
                    text[end] !in SPACE + SYNTAX -> 1
                    else -> break
                }
        }
        return if (end > place) Read(listOf(literal(text.substring(place, end))), end) else null
    }

    private fun freeWord(place: Int): Read {
        var end = place
        while (end < text.length && text[end] !in SPACE) end++
        return Read(listOf(literal(text.substring(place, end))), end)
    }

    companion object {
        private const val UP = 1.1
        private const val DOWN = 0.9
        private const val SPACE = " \t\n\r\u000B\u000C"
        private const val SYNTAX = "(),.\"+-="
        private const val DEPTH = 100
        private val REFUSED =
            listOf(".attend(", ".swap(", ".blend(", ".and(", ".add(", "withLora(", "useLora(")

        /** The pieces of a prompt; throws [PromptException]. */
        fun parse(prompt: String): List<Piece> {
            Pieces.checkShort(prompt)
            REFUSED.firstOrNull { it in prompt }?.let {
                throw PromptException("prompt: expected weights alone of Compel's syntax, got \"$it\"; remove it")
            }
            return Compel(spaced(prompt)).parse()
        }

        /** The text with a space after each comma that has none; of two commas in a row only after the first. */
        private fun spaced(text: String): String {
            val result = StringBuilder()
            var place = 0
            while (place < text.length) {
                val one = text[place++]
                result.append(one)
                if (one != ',' || place == text.length || Unicode.isSpace(text.codePointAt(place))) continue
                result.append(' ').append(text[place++])
            }
            return result.toString()
        }

        private fun literal(text: String): Piece {
            val result = StringBuilder()
            var place = 0
            while (place < text.length) {
                var end = place
                while (end < text.length && text[end] == '\\') end++
                if (end > place && end < text.length && text[end] in "()\"") place = end
                result.append(text[place++])
            }
            return Piece(result.toString(), 1.0)
        }
    }
}
