package org.mobilediffusion.core

import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction

private const val SHOWN = 60

/** A text as it may stand in an error: quoted, one line, cut. */
internal fun quote(text: String): String {
    val cut = if (text.length > SHOWN) text.substring(0, SHOWN).trimEnd { it.isHighSurrogate() } + "..." else text
    return cut.map { if (it.isISOControl() || it == '\u2028' || it == '\u2029') '?' else it }.joinToString("", "'", "'")
}

/** A number as it may stand in an error: without a fraction when it has none. */
internal fun plain(number: Double): String =
    if (number == Math.rint(number) && Math.abs(number) < 1e15) number.toLong().toString() else number.toString()

/** Whether every surrogate is one half of a pair. */
internal fun isWellFormed(text: CharSequence): Boolean {
    var place = 0
    while (place < text.length) {
        val pair = place + 1 < text.length && text[place].isHighSurrogate() && text[place + 1].isLowSurrogate()
        if (text[place].isSurrogate() && !pair) return false
        place += if (pair) 2 else 1
    }
    return true
}

/** The text of bytes in UTF-8, or null when they are not. */
internal fun decodeUtf8(bytes: ByteArray): String? =
    try {
        Charsets.UTF_8
            .newDecoder()
            .onMalformedInput(CodingErrorAction.REPORT)
            .onUnmappableCharacter(CodingErrorAction.REPORT)
            .decode(ByteBuffer.wrap(bytes))
            .toString()
    } catch (_: CharacterCodingException) {
        null
    }

/** The code points of a well-formed text. */
internal fun codePoints(text: String): IntArray {
    val points = IntArray(text.codePointCount(0, text.length))
    var place = 0
    for (index in points.indices) {
        points[index] = text.codePointAt(place)
        place += Character.charCount(points[index])
    }
    return points
}

/** Code points from [start] to [end] as a text. */
internal fun textOf(
    points: IntArray,
    start: Int = 0,
    end: Int = points.size,
): String = String(points, start, end - start)
