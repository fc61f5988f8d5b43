package org.mobilediffusion.core

import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.FlowCollector
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext

/**
 * From a prompt to a picture: the loop that every app runs.
 *
 * It draws one picture at a time.  Stages are called on [dispatcher], never on the thread that collects, and none is
 * called before the event that precedes it has been collected.
 */
class Pipeline(
    val bundle: ModelBundle,
    runner: ModelRunner,
    private val memory: MemoryPolicy = MemoryPolicy.KEEP,
    private val dispatcher: CoroutineDispatcher = Dispatchers.Default,
) {
    private val stages = StageMemory(bundle.manifest, runner, memory)
    private val drawing = Mutex()
    private val access = Mutex()

    /**
     * Draws so many pictures when it is collected, with the request's seed and those after it; text, picture and hints
     * are encoded once.
     *
     * [DrawEvent.Loading] comes before a stage is loaded, [DrawEvent.Step] after each step, [DrawEvent.Finished] with
     * each picture.
     *
     * A cancelled collection ends before or after a stage's call, never within.  Throws [PromptException] for a request
     * that cannot be drawn, [ModelException] when a stage cannot be loaded or run, or gives NaN or infinity.  When a
     * call fails, and at any end under [MemoryPolicy.SEQUENTIAL], no stage stays in memory.
     */
    fun draw(
        request: DrawRequest,
        pictures: Int = 1,
    ): Flow<DrawEvent> = flow { exclusively { drawTo(this@flow, request.series(pictures)) } }

    /** Gives all memory of the stages back, as soon as a running call has ended; what is drawn loads them again. */
    suspend fun unload() {
        withContext(NonCancellable) { called { stages.unload() } }
    }

    /**
     * Gives all memory back for good: a stage that somebody still asks for is refused with [ModelException].
     *
     * So a model that was given up cannot come back beside the one that took its place.
     */
    suspend fun close() {
        withContext(NonCancellable) { called { stages.close() } }
    }

    /** Runs [action] while nothing else draws or measures. */
    internal suspend fun <Value> exclusively(action: suspend () -> Value): Value =
        drawing.withLock {
            try {
                action()
            } finally {
                if (memory == MemoryPolicy.SEQUENTIAL) unload()
            }
        }

    /** Calls [action] with the loaded stages; one call at a time. */
    internal suspend fun <Value> called(action: (StageMemory) -> Value): Value =
        access.withLock { withContext(dispatcher) { action(stages) } }

    private suspend fun drawTo(
        events: FlowCollector<DrawEvent>,
        series: List<DrawRequest>,
    ) {
        var begun = System.nanoTime()
        val (contexts, clean) = events.encodeAll(StageInputs(bundle, series.first()))
        for (request in series) {
            val inputs = withContext(dispatcher) { StageInputs(bundle, request) }
            events.load(Stage.DENOISE)
            val latents = denoise(events, inputs, contexts, clean)
            events.load(Stage.DECODE_IMAGE)
            val picture =
                called { Picture.of(it.run(Stage.DECODE_IMAGE, mapOf("latents" to latents)).getValue("image")) }
            events.emit(DrawEvent.Finished(picture, (System.nanoTime() - begun) / NANOSECONDS))
            begun = System.nanoTime()
        }
    }

    /** What no seed changes. */
    private data class Encoded(
        /** What `denoise` takes at every step. */
        val contexts: Map<String, TensorValue>,
        /** The latents of the picture to start from; null without one. */
        val clean: TensorValue.Floats?,
    )

    private suspend fun FlowCollector<DrawEvent>.encodeAll(inputs: StageInputs): Encoded {
        val texts = withContext(dispatcher) { inputs.prompts.mapValues { inputs.reading(it.value) } }
        load(Stage.ENCODE_TEXT)
        val encoded =
            texts.mapValues { (_, text) ->
                called { stages -> inputs.encoded(text) { stages.run(Stage.ENCODE_TEXT, it) } }
            }
        val hints = inputs.hints.inputs(encodeHints(inputs.hints.images()))
        val contexts = inputs.contexts(encoded) + inputs.ofPicture(encode(inputs.start.read())) + hints
        return Encoded(contexts + inputs.adapters.inputs(), encode(inputs.start.clean()))
    }

    private suspend fun denoise(
        events: FlowCollector<DrawEvent>,
        inputs: StageInputs,
        contexts: Map<String, TensorValue>,
        clean: TensorValue.Floats?,
    ): TensorValue.Floats {
        var state = withContext(dispatcher) { inputs.firstState(clean) }
        val skipped = bundle.steps - inputs.rows.size
        for ((step, row) in inputs.rows.withIndex()) {
            val after = inputs.after(contexts, state, row) { given -> called { it.run(Stage.DENOISE, given) } }
            state = withContext(dispatcher) { inputs.kept(after, clean, step) }
            val preview = withContext(dispatcher) { bundle.preview?.picture(state.latents) }
            events.emit(DrawEvent.Step(skipped + step + 1, bundle.steps, preview))
        }
        checkFinite("latents", state.latents.values)
        return state.latents
    }

    /** The latents of a picture; null without one. */
    private suspend fun FlowCollector<DrawEvent>.encode(picture: Map<String, TensorValue>?): TensorValue.Floats? {
        if (picture == null) return null
        load(Stage.ENCODE_IMAGE)
        return called { it.run(Stage.ENCODE_IMAGE, picture) }.getValue("latents")
    }

    /** What `denoise` reads of hints; null without ControlNets. */
    private suspend fun FlowCollector<DrawEvent>.encodeHints(hints: Map<String, TensorValue>?): TensorValue.Floats? {
        if (hints == null) return null
        load(Stage.ENCODE_HINT)
        return called { it.run(Stage.ENCODE_HINT, hints) }.getValue("hint_features")
    }

    private suspend fun FlowCollector<DrawEvent>.load(stage: Stage) {
        if (!called { it.isLoaded(stage) }) emit(DrawEvent.Loading(stage))
        called { it.load(stage) }
    }

    private companion object {
        /** In a millisecond. */
        const val NANOSECONDS = 1_000_000
    }
}
