package org.mobilediffusion.sample.draw

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.mobilediffusion.core.Conditions
import org.mobilediffusion.core.DrawRequest
import org.mobilediffusion.core.MemoryPolicy
import org.mobilediffusion.core.ModelBundle
import org.mobilediffusion.core.ModelException
import org.mobilediffusion.core.ModelRunner
import org.mobilediffusion.core.Stage
import org.mobilediffusion.core.TensorValue
import org.mobilediffusion.sample.benchmark.BenchmarkFiles
import org.mobilediffusion.sample.benchmark.BenchmarkRun
import org.mobilediffusion.sample.benchmark.BenchmarkState
import org.mobilediffusion.sample.benchmark.GoldenRun
import org.mobilediffusion.sample.history.HistoryStore
import org.mobilediffusion.sample.inFolder
import org.mobilediffusion.sample.models.ModelStore
import org.mobilediffusion.sample.pictureOf
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** The whole of a drawing but for the screen and the runtime, on a real bundle; outputs of the stages are made up. */
class StudioTest {
    private val bundle = File(checkNotNull(System.getProperty("bundle")) { "expected -Dbundle=FOLDER, got none" })
    private val held = HashSet<Stage>()
    private var onRun: (Stage) -> Unit = {}
    private var loads = 0
    private var unloads = 0

    private inner class Runner(
        private val opened: ModelBundle,
    ) : ModelRunner {
        override fun load(stage: Stage) {
            held += stage
            loads++
        }

        override fun unload(stage: Stage) {
            held -= stage
            unloads++
        }

        override fun run(
            stage: Stage,
            inputs: Map<String, TensorValue>,
        ): Map<String, TensorValue.Floats> {
            onRun(stage)
            val outputs = checkNotNull(opened.manifest.stage(stage)).outputs
            return outputs.associate { it.name to TensorValue.Floats(FloatArray(it.count) { 0.5f }, it.shape) }
        }
    }

    @Test
    fun `a picture is drawn, kept and found`() =
        withApp { app ->
            app.studio.form = DrawForm("a cat", "3d", seed = "9")
            app.studio.draw(app.model)
            val state = app.studio.end()
            assertIs<Phase.Done>(state.phase)
            val saved = HistoryStore(app.folder).list().single()
            assertEquals(state.saved, saved)
            assertEquals(listOf("a cat", "3d", "a cat, 3d"), saved.drawing.run { listOf(prompt, style, fullPrompt) })
            assertEquals(9uL, saved.drawing.seed)
            assertEquals(Stage.drawing.toSet(), held)
            runBlocking { app.pipelines.unload() }
            assertEquals(emptySet(), held)
        }

    @Test
    fun `several pictures are drawn with one load and one text, and each is kept with its seed`() =
        withApp { app ->
            var texts = 0
            onRun = { if (it == Stage.ENCODE_TEXT) texts++ }
            app.studio.form = DrawForm("a cat", seed = "9", pictures = "3")
            app.studio.draw(app.model)
            val state = app.studio.end()
            assertIs<Phase.Done>(state.phase)
            assertEquals(3 to 3, state.picturesDrawn)
            val seeds = HistoryStore(app.folder).list().map { it.drawing.seed }
            assertEquals(listOf(11uL, 10uL, 9uL), seeds)
            assertEquals(Stage.drawing.size to 2, loads to texts, "loads, and the prompt with its null text")
        }

    @Test
    fun `a drawing starts from a picture of the model's size, and another size is a line`() =
        withApp { app ->
            val card = ModelStore(bundle.parentFile).card(app.model)
            val (width, height) = checkNotNull(card.startSize)
            val mask = MaskGrid(card.latentSize.first, card.latentSize.second).apply { paint(0.5f, 0.5f) }
            val start = StartPicture(pictureOf(width, height), mask)
            app.studio.form = DrawForm("a cat", strength = "0.5", start = start)
            app.studio.draw(app.model)
            assertIs<Phase.Done>(app.studio.end().phase)
            assertEquals((Stage.drawing + Stage.ENCODE_IMAGE).toSet(), held)
            val saved = HistoryStore(app.folder).list().single()
            assertEquals(0.5, saved.drawing.strength)
            app.studio.form = app.studio.form.copy(start = StartPicture(pictureOf(3, 3), mask))
            app.studio.draw(app.model)
            val line = assertIs<Phase.Failed>(app.studio.end().phase).line
            assertTrue("expected $width x $height pixels, got 3 x 3" in line, line)
        }

    @Test
    fun `a prompt without a word that the model knows says so, whatever its style`() =
        withApp { app ->
            for ((prompt, unknown) in listOf("\uD83C\uDF4E" to true, "a cat" to false)) {
                app.studio.form = DrawForm(prompt, "3d")
                app.studio.draw(app.model)
                assertEquals(unknown, app.studio.end().wordsUnknown, prompt)
            }
        }

    @Test
    fun `a cancelled drawing is none, and the next one is drawn`() =
        withApp { app ->
            onRun = { if (it == Stage.DENOISE) app.studio.cancel() }
            app.studio.draw(app.model)
            assertEquals(Phase.Cancelled, app.studio.end().phase)
            assertEquals(emptyList(), HistoryStore(app.folder).list())
            onRun = {}
            app.studio.draw(app.model)
            assertIs<Phase.Done>(app.studio.end().phase)
        }

    @Test
    fun `errors are one line, and the memory is given back`() =
        withApp { app ->
            onRun = { if (it == Stage.DENOISE) throw OutOfMemoryError("no more") }
            app.studio.draw(app.model)
            val failed = assertIs<Phase.Failed>(app.studio.end().phase)
            assertTrue("expected enough memory" in failed.line && '\n' !in failed.line, failed.line)
            assertEquals(emptySet(), held)
            app.studio.form = DrawForm("a cat", seed = "x")
            app.studio.draw("../elsewhere")
            assertTrue("expected a model's name" in assertIs<Phase.Failed>(app.studio.end().phase).line)
        }

    @Test
    fun `a runtime without its library is a line, and nothing stays busy`() =
        withApp { app ->
            onRun = { throw UnsatisfiedLinkError("libexecutorch.so not found") }
            app.studio.draw(app.model)
            assertTrue("library in this app" in assertIs<Phase.Failed>(app.studio.end().phase).line)
            assertEquals(emptySet(), held)
            onRun = { throw StackOverflowError() }
            app.studio.draw(app.model)
            assertTrue("StackOverflowError" in assertIs<Phase.Failed>(app.studio.end().phase).line)
        }

    @Test
    fun `a measurement waits for the drawing, and the model is in memory once`() =
        withApp { app ->
            val run = measurement(app)
            val seen = ArrayList<Int>()
            onRun = { stage ->
                if (stage == Stage.DENOISE && app.studio.state.value.isBusy) run.start(app.model, 1, 2)
                seen += loads - unloads
            }
            app.studio.draw(app.model)
            assertIs<Phase.Done>(app.studio.end().phase)
            assertIs<BenchmarkState.Done>(runBlocking { run.end() })
            assertTrue(seen.max() <= Stage.drawing.size, "$seen")
            assertEquals(Stage.drawing.size, unloads, "the first pipeline's stages")
        }

    @Test
    fun `a drawing waits for the measurement, and can be cancelled meanwhile`() =
        withApp { app ->
            val run = measurement(app)
            onRun = { stage ->
                if (stage == Stage.ENCODE_TEXT && !app.studio.state.value.isBusy) app.studio.draw(app.model)
                if (stage == Stage.DECODE_IMAGE) app.studio.cancel()
            }
            run.start(app.model, 1, 2)
            assertIs<BenchmarkState.Done>(runBlocking { run.end() })
            assertEquals(Phase.Cancelled, app.studio.end().phase)
        }

    @Test
    fun `a pipeline that was given up loads nothing`() =
        withApp { app ->
            val old = runBlocking { app.pipelines.use(app.model, 1) { it } }
            runBlocking { app.pipelines.use(app.model, 2) {} }
            val request = DrawRequest("a cat")
            val line = assertFailsWith<ModelException> { runBlocking { old.draw(request).collect {} } }.message!!
            assertTrue("closed" in line, line)
            assertEquals(emptySet(), held)
        }

    @Test
    fun `a bundle that was replaced is opened again`() =
        inFolder { folder ->
            val place = File(folder, "models/mine")
            bundle.copyRecursively(place)
            val pipelines =
                pipelinesOf(ModelStore(File(folder, "models")), folder)
            runBlocking {
                val first = pipelines.use("mine", 1) { it }
                assertTrue(first === pipelines.use("mine", 1) { it })
                File(place, "manifest.json").appendText(" ")
                assertTrue(first !== pipelines.use("mine", 1) { it })
            }
        }

    private fun measurement(app: App): BenchmarkRun {
        val conditions = { Conditions("chip", 8, "Android", null, "light") }
        val files = BenchmarkFiles(File(app.folder, "golden"))
        val golden = GoldenRun(app.models, app.pipelines, files, verdictsIn(app.folder), "1.5.1", conditions)
        return BenchmarkRun(app.pipelines, BenchmarkFiles(app.folder), golden, app.scope, "1.5.1", conditions)
    }

    private fun verdictsIn(folder: File) = Verdicts(File(folder, "golden"), "1.5.1")

    private fun pipelinesOf(
        models: ModelStore,
        folder: File,
    ) = Pipelines(models, verdictsIn(folder), { MemoryPolicy.KEEP }) { opened, _ -> Runner(opened) }

    @Test
    fun `what a runtime misses is left as a file, and it is not preferred`() =
        withApp { app ->
            val run = measurement(app)
            run.compare(app.model, 2)
            val done = assertIs<BenchmarkState.Compared>(runBlocking { run.end() })
            assertEquals(
                false,
                done.record.units
                    .single()
                    .passed,
            )
            val written = File(app.folder, "golden/${app.model}.json").readText()
            assertEquals(done.record.toJson(), written)
            assertTrue("\"thermal\":\"light\"" in written && "\"unit\":\"cpu\"" in written)
            assertNull(verdictsIn(app.folder).preferred(app.model, app.models.hash(app.model)))
            run.compare(app.model, 0)
            assertIs<BenchmarkState.Failed>(runBlocking { run.end() })
            val line = File(app.folder, "golden/${app.model}.error").readText()
            assertEquals("threads: expected 1 to 256, got 0\n", line)
        }

    @Test
    fun `a verdict counts for the model and the library that were compared`() =
        inFolder { folder ->
            val verdicts = Verdicts(folder, "1.5.1")
            assertNull(verdicts.preferred("mine", "aa"))
            verdicts.write("mine", "aa", listOf("vulkan", "xnnpack"))
            assertEquals("vulkan", verdicts.preferred("mine", "aa"))
            assertNull(verdicts.preferred("mine", "bb"))
            assertNull(Verdicts(folder, "1.6.0").preferred("mine", "aa"))
            verdicts.write("mine", "aa", emptyList())
            assertNull(verdicts.preferred("mine", "aa"))
        }

    @Test
    fun `times are left as a file, and so is what hinders them`() =
        withApp { app ->
            val files = BenchmarkFiles(app.folder)
            val run = measurement(app)
            run.start(app.model, 3, 2)
            val done = assertIs<BenchmarkState.Done>(runBlocking { run.end() })
            assertEquals(done.report.toJson(), files.report(app.model).readText())
            assertEquals(listOf(3, 3, 3), done.report.stages.map { it.milliseconds.size })
            run.start(app.model, 0, 2)
            assertIs<BenchmarkState.Failed>(runBlocking { run.end() })
            assertEquals(false, files.report(app.model).exists())
            assertEquals("runs: expected 1 to 10000, got 0\n", File(app.folder, "${app.model}.error").readText())
        }

    private class App(
        val folder: File,
        val models: ModelStore,
        val pipelines: Pipelines,
        val scope: CoroutineScope,
        val model: String,
    ) {
        val studio = Studio(pipelines, HistoryStore(folder), scope, 1)
    }

    private fun Studio.end(): DrawState = runBlocking { withTimeout(60_000) { state.first { !it.isBusy } } }

    private suspend fun BenchmarkRun.end() = withTimeout(60_000) { state.first { !it.isBusy } }

    private fun withApp(action: (App) -> Unit) =
        inFolder { folder ->
            val models = ModelStore(checkNotNull(bundle.parentFile))
            val pipelines = pipelinesOf(models, folder)
            action(App(folder, models, pipelines, CoroutineScope(Dispatchers.Default), bundle.name))
        }
}
