package org.mobilediffusion.core

import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull

/** Whole drawings against the recordings: every input of every call, every preview, and the picture. */
class TrajectoryTest {
    @get:Rule val folder = TemporaryFolder()

    private fun check(
        name: String,
        policy: MemoryPolicy,
    ) {
        val trajectory = Trajectory(name)
        val bundle = ModelBundle.open(trajectory.writeTo(folder.newFolder()))
        val runner = ReplayRunner(trajectory)
        val events = runBlocking { Pipeline(bundle, runner, policy).draw(trajectory.requestOf(bundle)).toList() }
        assertEquals(trajectory.calls.map { "run ${it["stage"].text}" }, runner.log.filter { it.startsWith("run") })
        val loading = events.filterIsInstance<DrawEvent.Loading>().map { it.stage }
        val called = trajectory.calls.map { it["stage"].text }
        val pictures = listOf(Stage.ENCODE_HINT, Stage.ENCODE_IMAGE).filter { it.id in called }
        val needed = listOf(Stage.ENCODE_TEXT) + pictures + Stage.drawing.drop(1)
        assertEquals(needed, loading)
        val steps = events.filterIsInstance<DrawEvent.Step>()
        val skipped =
            trajectory.steps -
                bundle.manifest.schedule
                    .rows(trajectory.skipped)
                    .size
        assertEquals((skipped + 1..trajectory.steps).toList(), steps.map { it.step })
        assertEquals(setOf(trajectory.steps), steps.map { it.steps }.toSet())
        for ((place, step) in steps.withIndex()) {
            val expected = trajectory.previews?.get(place)
            if (expected == null) assertNull(step.preview) else assertPicture(expected, step.preview!!)
        }
        assertPicture(trajectory.picture, (events.last() as DrawEvent.Finished).picture)
        assertEquals(needed.size + steps.size + 1, events.size)
        assertFalse(Thread.currentThread() in runner.threads, "a stage runs on the thread that collects")
        assertEquals(if (policy == MemoryPolicy.KEEP) needed.toSet() else emptySet(), runner.loaded)
    }

    private fun assertPicture(
        expected: Json,
        picture: Picture,
    ) {
        assertEquals(expected["width"].int, picture.width)
        assertEquals(expected["height"].int, picture.height)
        assertEquals(expected["sha256"].text, Golden.sha256(picture.rgb))
    }

    private fun check(name: String) = inEveryLocale { MemoryPolicy.entries.forEach { check(name, it) } }

    @Test fun ddim() = check("ddim")

    @Test fun `a solver with memory`() = check("multistep")

    @Test fun `noise at the steps`() = check("lcm")

    @Test fun `from a picture, on rows of its own`() = check("image")

    @Test fun `a part of a picture drawn anew`() = check("mask")

    @Test fun `a network that inpaints, from a part of the noise`() = check("inpaint")

    @Test fun `a network that inpaints, without a picture`() = check("inpaint-all")

    @Test fun `a network that edits a picture`() = check("edit")

    @Test fun `a network that edits a picture without guidance`() = check("edit-unguided")

    @Test fun `hints of two ControlNets`() = check("hints")

    @Test fun `hints, a mask and guidance in a part of the steps`() = check("hints-interval")

    @Test fun `adapters, one of them made later`() = check("adapters")

    @Test fun `an adapter and guidance in a part of the steps`() = check("adapters-interval")

    @Test fun `no guidance`() = check("unguided")

    @Test fun `guidance in a part of the steps`() = check("interval")

    @Test fun `two tokenizers and zeros for no negative prompt`() = check("sdxl")

    @Test fun `two tokenizers and guidance in a part of the steps`() = check("sdxl-interval")

    @Test fun `weights of the web UI, two windows and two tokenizers`() = check("weights")

    @Test fun `weights of Compel and two windows`() = check("compel")

    @Test fun `noise and two remembered tensors`() = check("sde")
}
