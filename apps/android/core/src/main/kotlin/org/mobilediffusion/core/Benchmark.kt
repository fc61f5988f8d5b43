package org.mobilediffusion.core

/** Times the stages of a bundle one after the other; warm-up calls are dropped. */
class Benchmark(
    private val pipeline: Pipeline,
    private val info: RuntimeInfo,
    private val conditions: Conditions,
) {
    /**
     * Times every stage [runs] times, or for half a minute; [onStage] is told which stage is next.
     *
     * Throws as [Pipeline.draw] does.
     */
    suspend fun measure(
        runs: Int,
        request: DrawRequest = DrawRequest("a red apple"),
        onStage: (Stage) -> Unit = {},
    ): LatencyReport {
        require(runs in 1..MAX_RUNS) { "expected 1 to $MAX_RUNS runs, got $runs" }
        return pipeline.exclusively { LatencyReport(conditions, info, timesOfStages(runs, request, onStage)) }
    }

    private suspend fun timesOfStages(
        runs: Int,
        request: DrawRequest,
        onStage: (Stage) -> Unit,
    ): List<StageTimes> {
        val inputs = StageInputs(pipeline.bundle, withHints(withPicture(request)))
        val texts = pipeline.called { inputs.prompts.mapValues { inputs.reading(it.value) } }
        val first = texts.getValue(StageInputs.PROMPT).versions[0].windows[0]
        onStage(Stage.ENCODE_TEXT)
        val text = times(Stage.ENCODE_TEXT, inputs.text(first.tokens), runs)
        val encoded =
            inputs.contexts(
                texts.mapValues { (_, text) ->
                    pipeline.called { stages -> inputs.encoded(text) { stages.run(Stage.ENCODE_TEXT, it) } }
                },
            )
        val read = inputs.start.read()?.let { run(Stage.ENCODE_IMAGE, it).getValue("latents") }
        val features = inputs.hints.images()?.let { run(Stage.ENCODE_HINT, it).getValue("hint_features") }
        val contexts = encoded + inputs.ofPicture(read) + inputs.hints.inputs(features)
        onStage(Stage.DENOISE)
        val step = pipeline.called { inputs.step(contexts, inputs.firstState(null), 0) }
        val denoise = times(Stage.DENOISE, step, runs)
        val latents = run(Stage.DENOISE, step).getValue("latents")
        onStage(Stage.DECODE_IMAGE)
        return listOf(text, denoise, times(Stage.DECODE_IMAGE, mapOf("latents" to latents), runs))
    }

    /** A model that edits pictures gets a black one, where the request has none. */
    private fun withPicture(request: DrawRequest): DrawRequest {
        val image =
            pipeline.bundle.manifest
                .stage(Stage.ENCODE_IMAGE)
                ?.input("image")
        if (request.start != null || image == null || pipeline.bundle.settings.task != Task.EDIT) return request
        val (_, channels, height, width) = image.shape
        return request.copy(start = Start(Picture(width, height, ByteArray(channels * height * width))))
    }

    /** ControlNets get black pictures, where the request has none. */
    private fun withHints(request: DrawRequest): DrawRequest {
        val spec =
            pipeline.bundle.manifest
                .stage(Stage.ENCODE_HINT)
                ?.input("hints")
        if (request.hints.isNotEmpty() || spec == null) return request
        val (count, channels, height, width) = spec.shape
        val black = Hint(Picture(width, height, ByteArray(channels * height * width)))
        return request.copy(hints = List(count) { black })
    }

    private suspend fun times(
        stage: Stage,
        inputs: Map<String, TensorValue>,
        runs: Int,
    ): StageTimes {
        milliseconds(stage, inputs, WARM_UP)
        return StageTimes(stage, milliseconds(stage, inputs, runs))
    }

    /** Milliseconds of up to [count] calls, fewer when they exceed the budget, but one at least. */
    private suspend fun milliseconds(
        stage: Stage,
        inputs: Map<String, TensorValue>,
        count: Int,
    ): List<Double> {
        val times = ArrayList<Double>()
        while (times.size < count && times.sum() < BUDGET) {
            times +=
                pipeline.called { stages ->
                    stages.load(stage)
                    val start = System.nanoTime()
                    stages.run(stage, inputs)
                    (System.nanoTime() - start) / NANOSECONDS
                }
        }
        return times
    }

    private suspend fun run(
        stage: Stage,
        inputs: Map<String, TensorValue>,
    ) = pipeline.called { it.run(stage, inputs) }

    companion object {
        /** The most runs that can be asked for. */
        const val MAX_RUNS = 10_000

        private const val WARM_UP = 2

        /** Milliseconds after which a stage is not run again, warm-up and runs each. */
        private const val BUDGET = 30_000.0

        /** In a millisecond. */
        private const val NANOSECONDS = 1e6
    }
}
