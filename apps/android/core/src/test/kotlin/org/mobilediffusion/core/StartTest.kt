package org.mobilediffusion.core

import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Pictures to start from that cannot be used: one line, before a stage is loaded. */
class StartTest {
    @get:Rule val folder = TemporaryFolder()

    private fun refusal(
        start: Start?,
        name: String = "mask",
    ): String {
        val trajectory = Trajectory(name)
        val bundle = ModelBundle.open(trajectory.writeTo(folder.newFolder()))
        val runner = ReplayRunner(trajectory)
        val request = trajectory.request.copy(start = start)
        val error =
            assertFailsWith<PromptException> {
                runBlocking { Pipeline(bundle, runner).draw(request).toList() }
            }
        assertEquals(emptyList(), runner.log)
        return error.message!!
    }

    private val picture = Picture(16, 16, ByteArray(3 * 16 * 16))

    @Test fun `another size`() {
        val line = refusal(Start(Picture(8, 16, ByteArray(3 * 8 * 16))))
        assertTrue(line.startsWith("picture: expected 16 x 16 pixels, got 8 x 16"), line)
    }

    @Test fun `a strength out of range`() {
        for (strength in listOf(0.0, -1.0, 1.01, Double.NaN, Double.POSITIVE_INFINITY)) {
            assertTrue(refusal(Start(picture, strength)).startsWith("strength: expected a number above 0"))
        }
        assertTrue(refusal(Start(picture, 0.3)).startsWith("strength: expected 1/3 or more for 3 steps, got 0.3"))
    }

    @Test fun `a mask of another size`() {
        for (name in listOf("mask", "inpaint")) {
            assertTrue(
                refusal(Start(picture, 1.0, ByteArray(64)), name).startsWith("mask: expected 256 values, got 64"),
            )
        }
    }

    @Test fun `no mask for a model that inpaints`() {
        assertTrue(refusal(Start(picture), "inpaint").startsWith("mask: expected one with the picture"))
    }

    @Test fun `what a model that edits pictures does not take`() {
        assertTrue(refusal(null, "edit").startsWith("picture: expected one"))
        assertTrue(refusal(Start(picture, mask = ByteArray(256)), "edit").startsWith("mask: expected none"))
        assertTrue(refusal(Start(picture, 0.5), "edit").startsWith("strength: expected 1, as this model"))
        for (scale in listOf(0.9, 31.0, Double.NaN)) {
            val line = refusal(Start(picture, imageGuidance = scale), "edit")
            assertTrue(line.startsWith("image guidance: expected a number from 1 to 30"), line)
        }
    }

    @Test fun `a guidance towards the picture for a model that edits none`() {
        for (name in listOf("image", "inpaint")) {
            val line = refusal(Start(picture, mask = ByteArray(256), imageGuidance = 2.0), name)
            assertTrue(line.startsWith("image guidance: expected none"), line)
        }
    }

    @Test fun `a bundle without the stage`() {
        assertTrue("--image-to-image" in refusal(Start(picture), "ddim"))
    }
}
