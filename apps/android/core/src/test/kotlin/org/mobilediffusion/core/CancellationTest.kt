package org.mobilediffusion.core

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Job
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** A drawing is cancelled at every event and within every call: nothing runs afterwards. */
class CancellationTest {
    @get:Rule val folder = TemporaryFolder()

    private val trajectory = Trajectory("ddim")
    private val bundle by lazy { ModelBundle.open(trajectory.writeTo(folder.newFolder())) }
    private val events = 3 + trajectory.steps + 1

    private fun checkMemory(
        runner: ReplayRunner,
        policy: MemoryPolicy,
        where: String,
    ) {
        val loads = runner.log.filter { it.startsWith("load") }.map { it.substringAfter(' ') }
        val unloads = runner.log.filter { it.startsWith("unload") }.map { it.substringAfter(' ') }
        val sequential = policy == MemoryPolicy.SEQUENTIAL
        assertEquals(if (sequential) loads else emptyList(), unloads, "$policy, $where")
        assertEquals(sequential || loads.isEmpty(), runner.loaded.isEmpty(), "$policy, $where")
    }

    @Test fun `at every event, by the collector`() =
        runBlocking {
            for (policy in MemoryPolicy.entries) {
                for (count in 1..events) {
                    val runner = ReplayRunner(trajectory)
                    val found = Pipeline(bundle, runner, policy).draw(trajectory.request).take(count).toList()
                    assertEquals(count, found.size)
                    checkMemory(runner, policy, "event $count")
                    val runs = runner.log.count { it.startsWith("run") }
                    val steps = found.count { it is DrawEvent.Step }
                    val picture = found.count { it is DrawEvent.Finished }
                    assertEquals(steps + picture + if (count > 1) 2 else 0, runs, "runs at event $count")
                }
            }
        }

    @Test fun `at every event, by its job`() {
        for (policy in MemoryPolicy.entries) {
            for (count in 1..events) {
                val runner = ReplayRunner(trajectory)
                var seen = 0
                var logged = 0
                runBlocking {
                    launch {
                        Pipeline(bundle, runner, policy).draw(trajectory.request).collect {
                            if (++seen < count) return@collect
                            logged = runner.log.size
                            coroutineContext[Job]!!.cancel()
                        }
                    }
                }
                assertEquals(count, seen)
                val after = runner.log.drop(logged)
                assertTrue(after.all { it.startsWith("unload") }, "$policy, event $count: $after")
                checkMemory(runner, policy, "event $count")
            }
        }
    }

    @Test fun `within every call`() {
        val calls = 3 + trajectory.calls.size // loads and runs
        for (policy in MemoryPolicy.entries) {
            for (count in 1..calls) {
                lateinit var job: Job
                var seen = 0
                val runner = ReplayRunner(trajectory) { if (++seen == count) job.cancel() }
                var finished = false
                runBlocking {
                    job =
                        launch {
                            Pipeline(bundle, runner, policy).draw(trajectory.request).collect {
                                finished = finished || it is DrawEvent.Finished
                            }
                        }
                }
                assertEquals(count, seen, "$policy: calls that began")
                assertTrue(!finished, "$policy: a picture in spite of cancelling in call $count")
                checkMemory(runner, policy, "call $count")
            }
        }
    }

    @Test fun `the next picture is drawn as if nothing had been`() =
        runBlocking {
            for (policy in MemoryPolicy.entries) {
                val runner = ReplayRunner(trajectory)
                val pipeline = Pipeline(bundle, runner, policy)
                for (count in 1..events) {
                    runner.rewind()
                    pipeline.draw(trajectory.request).take(count).toList()
                }
                runner.rewind()
                val last = pipeline.draw(trajectory.request).toList().last() as DrawEvent.Finished
                assertEquals(trajectory.picture["sha256"].text, Golden.sha256(last.picture.rgb))
            }
        }

    @Test fun `an exception of the collector ends the drawing`() {
        val runner = ReplayRunner(trajectory)
        val pipeline = Pipeline(bundle, runner, MemoryPolicy.SEQUENTIAL)
        val caught =
            runBlocking {
                runCatching { pipeline.draw(trajectory.request).collect { if (it is DrawEvent.Step) error("enough") } }
            }
        assertEquals("enough", caught.exceptionOrNull()?.message)
        checkMemory(runner, MemoryPolicy.SEQUENTIAL, "exception")
        assertEquals(1, runner.log.count { it == "run denoise" })
    }

    @Test fun `one who waits for another's picture can give up`() =
        runBlocking {
            val runner = ReplayRunner(trajectory)
            val pipeline = Pipeline(bundle, runner)
            var waited = false
            pipeline.draw(trajectory.request).collect { event ->
                if (event !is DrawEvent.Step || waited) return@collect
                waited = true
                val second = launch { pipeline.draw(trajectory.request).collect { error("drawn at the same time") } }
                coroutineScope { second.cancel(CancellationException("enough")) }
                second.join()
            }
            assertEquals(trajectory.calls.size, runner.log.count { it.startsWith("run") })
        }
}
