package org.mobilediffusion.core

import java.util.PriorityQueue

/** Byte-pair encoding of one word: its symbols are merged, the pair of the lowest rank first. */
internal class BytePairs(
    model: Definition,
) {
    private class Merge(
        val rank: Int,
        val id: Int,
    )

    /** A merge that may be made: lowest rank first, then leftmost. */
    private class Candidate(
        val merge: Merge,
        val place: Int,
    ) : Comparable<Candidate> {
        override fun compareTo(other: Candidate): Int =
            compareValuesBy(this, other, { it.merge.rank }, Candidate::place)
    }

    private val vocabulary = model["vocab"].ids()
    private val merges = HashMap<Long, Merge>()
    private val wordEnd = model["end_of_word_suffix"].text
    private val unknown = if (model["unk_token"].isNull) null else vocabulary[model["unk_token"].text]

    init {
        model["merges"].items.forEachIndexed { rank, entry ->
            val (left, right) = pairOf(entry)
            val first = vocabulary[left]
            val second = vocabulary[right]
            val whole = vocabulary[left + right]
            entry.expect(first != null && second != null && whole != null, "merges of the vocabulary's symbols")
            merges[key(first!!, second!!)] = Merge(rank, whole!!)
        }
    }

    /** A merge as it is stored: a list of two symbols, or both in one text. */
    private fun pairOf(entry: Definition): Pair<String, String> {
        val parts = entry.textsOrNull ?: entry.text.split(' ', limit = 2)
        entry.expect(parts.size == 2, "merges of two symbols")
        return Pair(parts[0], parts[1])
    }

    /** The ids of a word. */
    fun encode(word: String): IntArray = Chain(symbols(word)).merged()

    /** A symbol for each byte of a word in UTF-8, the last one marked as the word's end. */
    private fun symbols(word: String): IntArray {
        val bytes = word.toByteArray(Charsets.UTF_8)
        val ids = IntList()
        bytes.forEachIndexed { place, byte ->
            val symbol = SYMBOLS[byte.toInt() and 0xFF] + if (place == bytes.lastIndex) wordEnd else ""
            (vocabulary[symbol] ?: unknown)?.let { ids += it }
        }
        return ids.toArray()
    }

    /** The symbols of a word while they are merged: [ids] by place, [NONE] once a symbol is part of another. */
    private inner class Chain(
        private val ids: IntArray,
    ) {
        private val previous = IntArray(ids.size) { it - 1 }
        private val next = IntArray(ids.size) { if (it == ids.lastIndex) NONE else it + 1 }
        private val queue = PriorityQueue<Candidate>()

        fun merged(): IntArray {
            ids.indices.forEach(::consider)
            while (true) {
                val best = queue.poll() ?: break
                if (mergeAt(best.place)?.id == best.merge.id) join(best.place, best.merge.id)
            }
            return ids.filter { it != NONE }.toIntArray()
        }

        private fun mergeAt(place: Int): Merge? {
            if (place == NONE || ids[place] == NONE || next[place] == NONE) return null
            return merges[key(ids[place], ids[next[place]])]
        }

        private fun consider(place: Int) {
            mergeAt(place)?.let { queue.add(Candidate(it, place)) }
        }

        private fun join(
            place: Int,
            id: Int,
        ) {
            val right = next[place]
            ids[place] = id
            ids[right] = NONE
            next[place] = next[right]
            if (next[place] != NONE) previous[next[place]] = place
            consider(previous[place])
            consider(place)
        }
    }

    private companion object {
        const val NONE = -1

        /** The character of each byte: printable bytes are themselves, the others take the code points from 256 on. */
        val SYMBOLS: List<String> = byteSymbols()

        fun byteSymbols(): List<String> {
            var next = 256
            return (0..255).map { byte ->
                val printable = byte in 0x21..0x7E || byte in 0xA1..0xAC || byte >= 0xAE
                (if (printable) byte else next++).toChar().toString()
            }
        }

        fun key(
            left: Int,
            right: Int,
        ): Long = (left.toLong() shl 32) or right.toLong()
    }
}
