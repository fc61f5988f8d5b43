package org.mobilediffusion.core

import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Several pictures of one request: what does not depend on the seed is computed once. */
class SeriesTest {
    @get:Rule val folder = TemporaryFolder()

    /** Gives what was recorded of a stage, whatever it is given, and keeps a line of each call's inputs. */
    private class EchoRunner(
        private val trajectory: Trajectory,
    ) : ModelRunner {
        val calls = ArrayList<String>()

        override fun load(stage: Stage) = Unit

        override fun unload(stage: Stage) = Unit

        override fun run(
            stage: Stage,
            inputs: Map<String, TensorValue>,
        ): Map<String, TensorValue.Floats> {
            calls += inputs.toSortedMap().entries.joinToString(" ", stage.id) { " ${it.key} ${sha256(it.value)}" }
            val call = trajectory.calls.first { it["stage"].text == stage.id }
            return (call["outputs"] as JsonObject).fields.mapValues { floatsOf(it.value) }
        }
    }

    private fun calls(
        trajectory: Trajectory,
        request: DrawRequest,
        pictures: Int,
    ): List<String> {
        val runner = EchoRunner(trajectory)
        val bundle = ModelBundle.open(trajectory.writeTo(folder.newFolder()))
        val events = runBlocking { Pipeline(bundle, runner).draw(request, pictures).toList() }
        assertEquals(pictures, events.count { it is DrawEvent.Finished })
        return runner.calls
    }

    private fun check(name: String) {
        val trajectory = Trajectory(name)
        val request = trajectory.request
        val second = calls(trajectory, request.copy(seed = request.seed + 1u), 1)
        val drawn = second.filterNot { it.startsWith("encode_") }
        assertTrue(drawn.size < second.size)
        assertEquals(calls(trajectory, request, 1) + drawn, calls(trajectory, request, 2), name)
    }

    @Test fun `text is encoded once`() = listOf("ddim", "sde", "compel").forEach(::check)

    @Test fun `pictures are encoded once`() = listOf("mask", "inpaint", "edit").forEach(::check)

    @Test fun `hints are encoded once`() = check("hints")

    @Test fun `seeds that end before the pictures do`() {
        val request = DrawRequest("a cat", seed = ULong.MAX_VALUE - 1u)
        val line = assertFailsWith<PromptException> { request.series(3) }.message
        assertEquals("seed: expected 3 seeds from it on, got 18446744073709551614; take a smaller one", line)
    }
}
