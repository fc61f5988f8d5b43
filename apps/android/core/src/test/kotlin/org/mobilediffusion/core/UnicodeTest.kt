package org.mobilediffusion.core

import org.junit.Test
import java.text.Normalizer
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** The tables against this machine's Java, for the plane that Unicode has long since settled. */
class UnicodeTest {
    private val points = (1..0xFFFF).filter { it !in 0xD800..0xDFFF && Character.isDefined(it) }

    private fun text(points: IntArray): String = String(points, 0, points.size)

    @Test fun `normal forms of single characters`() {
        for (point in points) {
            val one = String(Character.toChars(point))
            val name = point.toString(16)
            assertEquals(
                Normalizer.normalize(one, Normalizer.Form.NFD),
                text(Unicode.decompose(intArrayOf(point))),
                name,
            )
            assertEquals(Normalizer.normalize(one, Normalizer.Form.NFC), text(Unicode.compose(intArrayOf(point))), name)
        }
        assertTrue(points.size > 50_000)
    }

    @Test fun `marks in any order`() {
        val marks = points.filter { Unicode.isMark(it) }
        val random = Random(1)
        repeat(20_000) {
            val points = IntArray(random.nextInt(1, 6)) { if (it == 0) 'e'.code else marks.random(random) }
            val text = text(points)
            assertEquals(Normalizer.normalize(text, Normalizer.Form.NFD), text(Unicode.decompose(points)))
            assertEquals(Normalizer.normalize(text, Normalizer.Form.NFC), text(Unicode.compose(points)))
        }
    }
}
