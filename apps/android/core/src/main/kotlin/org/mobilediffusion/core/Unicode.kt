package org.mobilediffusion.core

/**
 * Characters and texts, as arrays of code points, as the exporter's tokenizer library sees them.
 *
 * Java's own classes are not asked: which version of Unicode they have depends on the release of Android.
 */
internal object Unicode {
    private val letters = Ranges(UnicodeTables.LETTERS)
    private val numbers = Ranges(UnicodeTables.NUMBERS)
    private val spaces = Ranges(UnicodeTables.SPACES)
    private val controls = Ranges(UnicodeTables.CONTROLS)
    private val han = Ranges(UnicodeTables.HAN)
    private val marks = Ranges(UnicodeTables.MARKS)
    private val punctuation = Ranges(UnicodeTables.PUNCTUATION)
    private val lowerCase = readMappings(UnicodeTables.LOWER_CASE)
    private val decompositions = readMappings(UnicodeTables.DECOMPOSITIONS)
    private val compositions = readCompositions(UnicodeTables.COMPOSITIONS)
    private val classes = readClasses(UnicodeTables.COMBINING_CLASSES)

    fun isLetter(point: Int): Boolean = point in letters

    fun isNumber(point: Int): Boolean = point in numbers

    fun isSpace(point: Int): Boolean = point in spaces

    fun isControl(point: Int): Boolean = point in controls

    fun isHan(point: Int): Boolean = point in han

    fun isMark(point: Int): Boolean = point in marks

    fun isPunctuation(point: Int): Boolean = point in punctuation

    fun lowerCase(text: IntArray): IntArray {
        val result = IntList()
        for (point in text) lowerCase[point]?.let { result += it } ?: run { result += point }
        return result.toArray()
    }

    /** Normal form D: decomposed, marks in order. */
    fun decompose(text: IntArray): IntArray {
        val result = IntList()
        for (point in text) {
            val parts = Hangul.decompose(point) ?: decompositions[point]
            if (parts == null) result += point else result += parts
        }
        return inOrder(result.toArray())
    }

    /** Normal form C: decomposed, then composed. */
    fun compose(text: IntArray): IntArray {
        val result = IntList()
        var starter = -1
        var last = 0 // class of the last mark that stayed behind the starter
        for (point in decompose(text)) {
            val number = classOf(point)
            val free = starter >= 0 && (result.size == starter + 1 || last < number)
            val composed = if (free) composed(result[starter], point) else null
            if (composed != null) {
                result[starter] = composed
                continue
            }
            if (number == 0) starter = result.size
            last = number
            result += point
        }
        return result.toArray()
    }

    private fun composed(
        first: Int,
        second: Int,
    ): Int? = Hangul.compose(first, second) ?: compositions[pair(first, second)]

    private fun classOf(point: Int): Int = classes[point] ?: 0

    /** Marks between two characters of class 0 in the order of their classes; marks of one class stay in theirs. */
    private fun inOrder(text: IntArray): IntArray {
        var start = 0
        while (start < text.size) {
            var end = start
            while (end < text.size && classOf(text[end]) != 0) end++
            if (end - start > 1) {
                val sorted = text.copyOfRange(start, end).sortedBy(::classOf) // stable
                sorted.forEachIndexed { place, point -> text[start + place] = point }
            }
            start = maxOf(end, start + 1)
        }
        return text
    }

    private fun readMappings(table: String): Map<Int, IntArray> {
        val found = HashMap<Int, IntArray>()
        var point = 0
        for (row in rowsOf(table)) {
            point += row[0]
            found[point] = row.copyOfRange(1, row.size)
        }
        return found
    }

    private fun readCompositions(table: String): Map<Long, Int> =
        rowsOf(table).associate { (first, second, composed) -> pair(first, second) to composed }

    private fun readClasses(table: String): Map<Int, Int> {
        val found = HashMap<Int, Int>()
        var point = 0
        for ((gap, length, number) in rowsOf(table)) {
            point += gap
            repeat(length) { found[point++] = number }
        }
        return found
    }

    private fun pair(
        first: Int,
        second: Int,
    ): Long = (first.toLong() shl 32) or second.toLong()
}
