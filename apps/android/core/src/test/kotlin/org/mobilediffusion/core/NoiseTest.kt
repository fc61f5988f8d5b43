package org.mobilediffusion.core

import org.junit.Test
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

internal fun littleEndian(values: FloatArray): ByteArray {
    val bytes = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
    bytes.asFloatBuffer().put(values)
    return bytes.array()
}

class NoiseTest {
    private val golden = Golden.read("noise.json")

    private fun words(value: Json): IntArray = value.items.map { it.text.toLong(16).toInt() }.toIntArray()

    @Test fun `published words`() {
        val cases = golden["philox"].items
        assertTrue(cases.size >= 3)
        for (case in cases) {
            assertContentEquals(words(case["words"]), Noise.philox(words(case["key"]), words(case["counter"])))
        }
    }

    @Test fun `noise of many seeds, bit for bit`() {
        val cases = golden["gaussian"].items
        assertTrue(cases.size > 300)
        for (case in cases) {
            val noise = Noise.gaussian(case["seed"].text.toULong(), case["count"].int, case["tensor"].int)
            assertEquals(case["sha256"].text, Golden.sha256(littleEndian(noise)), case.toString())
        }
    }
}
