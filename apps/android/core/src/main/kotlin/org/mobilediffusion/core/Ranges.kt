package org.mobilediffusion.core

/** A set of code points, from one of [UnicodeTables]: rows of the gap since the range before, and a length. */
internal class Ranges(
    table: String,
) {
    private val firsts: IntArray
    private val ends: IntArray

    init {
        val rows = rowsOf(table)
        firsts = IntArray(rows.size)
        ends = IntArray(rows.size)
        var point = 0
        rows.forEachIndexed { place, (gap, length) ->
            firsts[place] = point + gap
            ends[place] = point + gap + length
            point = ends[place]
        }
    }

    operator fun contains(point: Int): Boolean {
        val found = firsts.binarySearch(point)
        val place = if (found >= 0) found else -found - 2
        return place >= 0 && point < ends[place]
    }
}

/** The rows of a table: numbers to the base 36, split by commas; rows are split by white space. */
internal fun rowsOf(table: String): List<IntArray> =
    table.split(' ', '\n').filter { it.isNotEmpty() }.map { row ->
        row.split(',').map { it.toInt(36) }.toIntArray()
    }
