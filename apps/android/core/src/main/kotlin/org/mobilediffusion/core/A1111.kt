package org.mobilediffusion.core

/**
 * Weights as AUTOMATIC1111's web UI writes them: (word), [word], (word:1.3), \( and BREAK.
 *
 * An open bracket reaches to the end; a closing one without an open one is text.  BREAK inside brackets that change its
 * own weight of -1 is a word, as in the original.
 */
internal class A1111 private constructor(
    private val text: String,
) {
    private class Part(
        val text: String,
        var weight: Double,
    )

    private val parts = ArrayList<Part>()
    private val round = ArrayList<Int>()
    private val square = ArrayList<Int>()

    private fun parse(): List<Piece> {
        var place = 0
        while (place < text.length) place = read(place)
        round.forEach { multiply(it, UP) }
        square.forEach { multiply(it, DOWN) }
        val pieces = parts.map { Piece(it.text, it.weight, it.text == BREAK && it.weight == BREAK_WEIGHT) }
        return Pieces.fused(pieces, "")
    }

    /** Reads what stands at a place; returns where it ends. */
    private fun read(place: Int): Int =
        when (text[place]) {
            '\\' -> escaped(place)
            '(' -> opened(round, place)
            '[' -> opened(square, place)
            ')' -> closed(round, UP, place)
            ']' -> closed(square, DOWN, place)
            ':' -> colon(place)
            else -> add(place, text.indexOfAny(SPECIAL, place).let { if (it < 0) text.length else it })
        }

    private fun escaped(place: Int): Int {
        val following = text.getOrNull(place + 1)
        val special = following != null && following != ':' && following in SPECIAL
        parts.add(Part(if (special) following.toString() else "", 1.0))
        return place + if (special) 2 else 1
    }

    private fun opened(
        brackets: ArrayList<Int>,
        place: Int,
    ): Int {
        brackets.add(parts.size)
        return place + 1
    }

    private fun closed(
        brackets: ArrayList<Int>,
        factor: Double,
        place: Int,
    ): Int {
        if (brackets.isEmpty()) return add(place, place + 1)
        multiply(brackets.removeAt(brackets.size - 1), factor)
        return place + 1
    }

    private fun colon(place: Int): Int {
        var end = place + 1
        if (text.getOrNull(end) == '+' || text.getOrNull(end) == '-') end++
        val first = end
        while (end < text.length && (text[end] in '0'..'9' || text[end] == '.')) end++
        if (end == first || text.getOrNull(end) != ')') return add(place, place + 1)
        if (round.isEmpty()) return add(place, end + 1)
        multiply(round.removeAt(round.size - 1), numberOf(text.substring(place + 1, end)))
        return end + 1
    }

    private fun numberOf(number: String): Double {
        if (number.any { it in '0'..'9' } && number.count { it == '.' } <= 1) return number.toDouble()
        throw PromptException("prompt: expected a weight such as 1.3 after a colon, got ${quote(number)}")
    }

    private fun multiply(
        start: Int,
        factor: Double,
    ) {
        for (place in start until parts.size) parts[place].weight *= factor
    }

    /** Text without brackets, and a break between its parts. */
    private fun add(
        start: Int,
        end: Int,
    ): Int {
        var from = start
        var found = text.indexOf(BREAK, start)
        while (found >= 0 && found + BREAK.length <= end) {
            val after = found + BREAK.length
            val inside = found > start && isWord(text.codePointBefore(found))
            if (inside || (after < end && isWord(text.codePointAt(after)))) {
                found = text.indexOf(BREAK, found + 1)
                continue
            }
            parts.add(Part(text.substring(from, found), 1.0))
            parts.add(Part(BREAK, BREAK_WEIGHT))
            from = after
            found = text.indexOf(BREAK, after)
        }
        parts.add(Part(text.substring(from, end), 1.0))
        return end
    }

    private fun isWord(point: Int): Boolean = point == '_'.code || Unicode.isLetter(point) || Unicode.isNumber(point)

    companion object {
        private const val UP = 1.1
        private const val DOWN = 1 / 1.1
        private const val BREAK = "BREAK"
        private const val BREAK_WEIGHT = -1.0
        private val SPECIAL = "()[]\\:".toCharArray()

        /** The pieces of a prompt; throws [PromptException]. */
        fun parse(prompt: String): List<Piece> {
            Pieces.checkShort(prompt)
            return A1111(prompt).parse()
        }
    }
}
