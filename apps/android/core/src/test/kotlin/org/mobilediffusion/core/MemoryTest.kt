package org.mobilediffusion.core

import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.flow.last
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** What stays in memory, and what happens when there is not enough of it. */
class MemoryTest {
    @get:Rule val folder = TemporaryFolder()

    private val trajectory = Trajectory("multistep")
    private val bundle by lazy { ModelBundle.open(trajectory.writeTo(folder.newFolder())) }

    private fun assertDrawn(event: DrawEvent) {
        assertEquals(trajectory.picture["sha256"].text, Golden.sha256((event as DrawEvent.Finished).picture.rgb))
    }

    @Test fun `one stage at a time`() {
        val runner = ReplayRunner(trajectory)
        runBlocking { Pipeline(bundle, runner, MemoryPolicy.SEQUENTIAL).draw(trajectory.request).toList() }
        val names = Stage.drawing.map { it.id }
        val expected = names.flatMap { listOf("load $it", "run $it", "unload $it") }
        assertEquals(expected, runner.log.filterIndexed { place, event -> event != runner.log.getOrNull(place - 1) })
    }

    @Test fun `the policy goes by the model and by what is free`() {
        assertEquals(MemoryPolicy.KEEP, MemoryPolicy.of(2_000_000_000, 4_000_000_000))
        assertEquals(MemoryPolicy.SEQUENTIAL, MemoryPolicy.of(2_000_000_000, 3_999_999_999))
        assertEquals(MemoryPolicy.SEQUENTIAL, MemoryPolicy.of(1, -1))
    }

    @Test fun `what is kept is loaded once`() {
        val runner = ReplayRunner(trajectory)
        val pipeline = Pipeline(bundle, runner, MemoryPolicy.KEEP)
        runBlocking {
            repeat(2) { assertDrawn(pipeline.draw(trajectory.request).last()) }
            assertEquals(Stage.drawing.map { "load ${it.id}" }, runner.log.filter { "load" in it })
            val events = pipeline.draw(trajectory.request).toList()
            assertTrue(events.none { it is DrawEvent.Loading })
            pipeline.unload()
            assertEquals(emptySet(), runner.loaded)
            assertDrawn(pipeline.draw(trajectory.request).last())
        }
    }

    @Test fun `memory is given back at every event, and the picture is the same`() {
        for (policy in MemoryPolicy.entries) {
            val runner = ReplayRunner(trajectory)
            val pipeline = Pipeline(bundle, runner, policy)
            runBlocking {
                val events = ArrayList<DrawEvent>()
                pipeline.draw(trajectory.request).collect {
                    events += it
                    pipeline.unload()
                    assertEquals(emptySet(), runner.loaded)
                }
                assertDrawn(events.last())
            }
        }
    }

    @Test fun `two pictures at once are drawn one after the other`() {
        for (policy in MemoryPolicy.entries) {
            val pipeline = Pipeline(bundle, ReplayRunner(trajectory), policy)
            runBlocking {
                List(
                    3,
                ) { async { pipeline.draw(trajectory.request).last() } }.awaitAll().forEach(::assertDrawn)
            }
        }
    }

    /** Draws with a runner that fails in one call; gives the line, and draws again with the same pipeline. */
    private fun failure(
        call: String,
        policy: MemoryPolicy,
        failure: () -> Throwable,
    ): String {
        var broken = true
        val runner = ReplayRunner(trajectory) { if (broken && it == call) throw failure() }
        val pipeline = Pipeline(bundle, runner, policy)
        return runBlocking {
            val error = assertFailsWith<ModelException>("$call, $policy") { pipeline.draw(trajectory.request).last() }
            assertEquals(emptySet(), runner.loaded, "$call, $policy")
            assertEquals(call, runner.log.last { !it.startsWith("unload") })
            broken = false
            runner.rewind()
            assertDrawn(pipeline.draw(trajectory.request).last())
            assertEquals(1, error.message!!.lines().size)
            error.message!!
        }
    }

    private fun everyCall(check: (Stage, String, MemoryPolicy) -> Unit) {
        for (policy in MemoryPolicy.entries) {
            for (stage in Stage.drawing) {
                for (kind in listOf("load", "run")) check(stage, "$kind ${stage.id}", policy)
            }
        }
    }

    @Test fun `no memory`() =
        everyCall { stage, call, policy ->
            val message = failure(call, policy) { OutOfMemoryError("Java heap space") }
            assertEquals(
                "${stage.id}: expected enough memory, got none: free some, or hold one stage in memory at a time",
                message,
            )
        }

    @Test fun `a runner that says what is wrong`() =
        everyCall { _, call, policy ->
            assertEquals("expected a, got b: do c", failure(call, policy) { ModelException("expected a, got b: do c") })
        }

    @Test fun `a runner with an error of its own`() =
        everyCall { stage, call, policy ->
            val message = failure(call, policy) { IllegalStateException("a\nb") }
            assertEquals("${stage.id}: expected outputs, got an error: 'a?b'", message)
        }
}
