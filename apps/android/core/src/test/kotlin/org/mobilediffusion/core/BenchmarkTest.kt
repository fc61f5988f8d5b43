package org.mobilediffusion.core

import kotlinx.coroutines.runBlocking
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class BenchmarkTest {
    @get:Rule val folder = TemporaryFolder()

    private val conditions = Conditions("a \"phone\"", 8, "Linux aarch64", null)
    private val info = RuntimeInfo("executorch android", "1.5.1", 4)

    /** Gives outputs of zeros and counts. */
    private class Counter(
        private val manifest: Manifest,
    ) : ModelRunner {
        val calls = ArrayList<String>()

        override fun load(stage: Stage) {
            calls += "load ${stage.id}"
        }

        override fun unload(stage: Stage) {
            calls += "unload ${stage.id}"
        }

        override fun run(
            stage: Stage,
            inputs: Map<String, TensorValue>,
        ): Map<String, TensorValue.Floats> {
            assertEquals(
                manifest
                    .stage(stage)!!
                    .inputs
                    .map { it.name }
                    .toSet(),
                inputs.keys,
            )
            calls += "run ${stage.id}"
            return manifest.stage(stage)!!.outputs.associate {
                it.name to
                    TensorValue.Floats(FloatArray(it.count), it.shape)
            }
        }
    }

    @Test fun `every stage is timed, the warm-up dropped`() {
        for (name in listOf("ddim", "multistep", "lcm")) {
            for (policy in MemoryPolicy.entries) {
                val bundle = ModelBundle.open(Trajectory(name).writeTo(folder.newFolder()))
                val runner = Counter(bundle.manifest)
                val benchmark = Benchmark(Pipeline(bundle, runner, policy), info, conditions)
                val stages = ArrayList<Stage>()
                val report = runBlocking { benchmark.measure(5) { stages += it } }
                assertEquals(Stage.drawing, stages)
                assertEquals(Stage.drawing, report.stages.map { it.stage })
                assertTrue(report.stages.all { it.milliseconds.size == 5 && it.milliseconds.all { time -> time >= 0 } })
                val contexts = if (name == "lcm") 1 else 2
                val counts = Stage.drawing.map { stage -> runner.calls.count { it == "run ${stage.id}" } }
                assertEquals(listOf(7 + contexts, 7 + 1, 7), counts)
                assertEquals(Stage.drawing.map { "load ${it.id}" }, runner.calls.filter { it.startsWith("load") })
                val unloads = runner.calls.count { it.startsWith("unload") }
                assertEquals(if (policy == MemoryPolicy.SEQUENTIAL) 3 else 0, unloads)
            }
        }
    }

    @Test fun `numbers of runs that make no sense`() {
        val bundle = ModelBundle.open(Trajectory("ddim").writeTo(folder.newFolder()))
        val benchmark = Benchmark(Pipeline(bundle, Counter(bundle.manifest)), info, conditions)
        for (runs in listOf(0, -1, 10_001)) {
            assertFailsWith<IllegalArgumentException> { runBlocking { benchmark.measure(runs) } }
        }
    }

    @Test fun `the JSON of latency json, whatever the locale`() {
        val times = listOf(StageTimes(Stage.DENOISE, listOf(4.5, 1.25, 2.0, 3.0)))
        inEveryLocale {
            val text = LatencyReport(conditions.copy(load = 0.5), info, times).toJson()
            val expected =
                """{"conditions":{"processor":"a \"phone\"","cores":8,"system":"Linux aarch64","load":0.5},""" +
                    """"runners":[{"runner":"executorch android","kind":"runtime","version":"1.5.1","threads":4,""" +
                    """"stages":[{"stage":"denoise","median_ms":2.5,"first_quartile_ms":1.8125,""" +
                    """"third_quartile_ms":3.375,"runs":4,"spread_ms":1.5625}]}]}"""
            assertEquals(expected, text)
        }
        val unknown = LatencyReport(conditions, info, times).toJson()
        assertTrue("\"load\":null" in unknown)
    }

    @Test fun `percentiles are numpy's`() {
        assertEquals(7.0, StageTimes(Stage.DENOISE, listOf(7.0)).percentile(0.75))
        assertEquals(1.75, StageTimes(Stage.DENOISE, listOf(2.0, 1.0)).percentile(0.75))
    }
}
