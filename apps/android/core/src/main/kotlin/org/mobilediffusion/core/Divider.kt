package org.mobilediffusion.core

/** Fills windows as the web UI does: the last is cut, and empty ones follow a short prompt. */
internal class Divider(
    private val part: SingleTokenizer,
    private val count: Int,
) {
    /** A token and its weight. */
    class Weighted(
        val id: Int,
        val weight: Double,
    )

    /** Exactly so many windows, and whether tokens did not fit. */
    class Divided(
        val rows: List<List<Weighted>>,
        val cut: Boolean,
    )

    private val capacity = part.maxTokens - 2
    private val comma = part.words(",").singleOrNull()
    private val done = ArrayList<List<Weighted>>()
    private var row = ArrayList<Weighted>()
    private var lastComma = NONE

    /** Divides a prompt; a divider is used once. */
    fun divide(pieces: List<Piece>): Divided {
        for ((place, piece) in pieces.withIndex()) {
            if (!piece.isBreak) {
                if (!add(piece)) return finished(true)
            } else if (done.size + 1 < count) {
                close(row.size)
            } else {
                return finished(pieces.drop(place).any { !it.isBreak && part.words(it.text).isNotEmpty() })
            }
        }
        return finished(false)
    }

    /** False when tokens do not fit. */
    private fun add(piece: Piece): Boolean {
        for (id in part.words(piece.text)) {
            if (row.size == capacity && done.size + 1 == count) return false
            if (id == comma) {
                lastComma = row.size
            } else if (row.size == capacity && lastComma != NONE && row.size - lastComma <= BACKTRACK) {
                close(lastComma + 1)
            }
            if (row.size == capacity) close(capacity)
            row.add(Weighted(id, piece.weight))
        }
        return true
    }

    private fun close(size: Int) {
        done.add(row.take(size))
        row = ArrayList(row.drop(size))
        lastComma = NONE
    }

    private fun finished(cut: Boolean): Divided {
        val rows = done + listOf(row) + List(count - done.size - 1) { emptyList() }
        return Divided(rows, cut)
    }

    private companion object {
        /** Tokens behind the last comma of a full window, at most, that move to the next window. */
        const val BACKTRACK = 20
        const val NONE = -1
    }
}
