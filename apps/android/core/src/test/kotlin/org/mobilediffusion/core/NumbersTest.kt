package org.mobilediffusion.core

import org.junit.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull

class NumbersTest {
    @Test fun seeds() =
        inEveryLocale {
            assertEquals(0u, parseSeed("0"))
            assertEquals(ULong.MAX_VALUE, parseSeed("18446744073709551615"))
            val others = listOf("", "-1", "+1", "1.5", "1,5", " 1", "1 ", "18446744073709551616", "١", "1e3", "0x1")
            others.forEach { assertNull(parseSeed(it), it) }
        }

    @Test fun decimals() =
        inEveryLocale {
            val numbers = mapOf("2.5" to 2.5, "-0.25" to -0.25, "30" to 30.0, "1e-2" to 0.01, "5E+1" to 50.0)
            numbers.forEach { (text, number) -> assertEquals(number, parseDecimal(text)) }
            val others = listOf("", "2,5", "nan", "NaN", "Infinity", "1f", "0x1p3", " 1", "1.", ".5", "٢٫٥", "--1")
            others.forEach { assertNull(parseDecimal(it), it) }
        }

    @Test fun `numbers in sentences`() =
        inEveryLocale {
            assertEquals(listOf("2", "2.5", "-3", "NaN"), listOf(2.0, 2.5, -3.0, Double.NaN).map(::plain))
            assertEquals("'a?b?'", quote("a\nb\u2028"))
            assertEquals("'${"x".repeat(60)}...'", quote("x".repeat(61)))
        }
}
