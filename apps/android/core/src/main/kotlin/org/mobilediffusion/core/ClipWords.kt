package org.mobilediffusion.core

/** Splits text as CLIP's regular expression does: contractions, letters, one number, or a run of the rest. */
internal object ClipWords {
    private val markers = listOf("<|startoftext|>", "<|endoftext|>").map(::codePoints)
    private val contractions = listOf("'s", "'t", "'re", "'ve", "'m", "'ll", "'d").map(::codePoints)

    /** Calls [word] with the start and the end of every word, in order; white space is left out. */
    inline fun forEach(
        text: IntArray,
        word: (Int, Int) -> Unit,
    ) {
        var place = 0
        while (place < text.size) {
            val cuts = cutsAt(text, place)
            for ((from, to) in cuts.zipWithNext()) word(from, to)
            place = maxOf(cuts.last(), place + 1)
        }
    }

    /** Where the words begin and end that stand at a place, one after the other; the place alone for none. */
    fun cutsAt(
        text: IntArray,
        place: Int,
    ): List<Int> {
        val marker = lengthAt(markers, text, place)
        // The marker of a prompt's start or end, typed in other case, is three words: its signs and its letters.
        if (marker > 0) return listOf(place, place + 2, place + marker - 2, place + marker)
        val length = wordAt(text, place)
        return if (length > 0) listOf(place, place + length) else listOf(place)
    }

    private fun wordAt(
        text: IntArray,
        place: Int,
    ): Int {
        val contraction = lengthAt(contractions, text, place)
        if (contraction > 0) return contraction
        val letters = runAt(text, place, Unicode::isLetter)
        if (letters > 0) return letters
        return if (Unicode.isNumber(text[place])) 1 else runAt(text, place, ::isOther)
    }

    private fun isOther(point: Int): Boolean =
        !Unicode.isLetter(point) && !Unicode.isNumber(point) && !Unicode.isSpace(point)

    private fun runAt(
        text: IntArray,
        place: Int,
        belongs: (Int) -> Boolean,
    ): Int {
        var end = place
        while (end < text.size && belongs(text[end])) end++
        return end - place
    }

    private fun lengthAt(
        literals: List<IntArray>,
        text: IntArray,
        place: Int,
    ): Int = literals.firstOrNull { startsWith(text, place, it) }?.size ?: 0
}
