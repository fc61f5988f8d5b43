package org.mobilediffusion.core

import org.junit.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class PictureTest {
    @Test fun `values are cut, and rounded half to even`() {
        val values =
            floatArrayOf(-1f, 0f, 0.5f / 255, 1.5f / 255, 2.5f / 255, 254.5f / 255, 1f, 2f, 0.25f, 0.75f, 0.1f, 0.9f)
        val picture = Picture.of(TensorValue.Floats(values, listOf(1, 3, 2, 2)))
        val expected = listOf(0, 2, 64, 0, 254, 191, 0, 255, 26, 2, 255, 230)
        assertEquals(Pair(2, 2), Pair(picture.width, picture.height))
        assertContentEquals(expected.map { it.toByte() }.toByteArray(), picture.rgb)
    }

    @Test fun `wide and high`() {
        val picture = Picture.of(TensorValue.Floats(FloatArray(12), listOf(1, 3, 1, 4)))
        assertEquals(Pair(4, 1), Pair(picture.width, picture.height))
    }

    @Test fun `no picture of what is not a number`() {
        for (value in listOf(Float.NaN, Float.NEGATIVE_INFINITY)) {
            val image = TensorValue.Floats(floatArrayOf(0f, value, 0f), listOf(1, 3, 1, 1))
            val message = assertFailsWith<ModelException> { Picture.of(image) }.message
            assertEquals(
                "image: expected finite values, got 1 NaN or infinite of 3; " +
                    "the weights, or the precision of the artifact, are at fault",
                message,
            )
        }
    }
}
