package org.mobilediffusion.core

/** One case on this machine: every stage given the reference's inputs, then the whole way from its own. */
internal class GoldenReplay(
    private val pipeline: Pipeline,
    private val golden: GoldenCase,
) {
    private val bundle = pipeline.bundle
    private val settings = bundle.settings
    private val inputs = StageInputs(bundle, requestOf(golden))
    private val rows: List<Int>
    private val found = ArrayList<GoldenResult>()

    init {
        checkShape()
        rows = settings.schedule.rows(golden.firstStep).take(golden.states - 1) // a large model's case has one step
    }

    suspend fun results(): List<GoldenResult> {
        val windows = inputs.reading(golden.prompt).versions[0].windows
        val ids = windows.flatMap { it.tokens.ids.asList() }
        val same = ids == golden.integers("tokens").values.asList()
        found += GoldenResult("tokens", null, null, null, null, same)
        val own = compareTexts()
        val picture = compared("source", "encoded", Stage.ENCODE_IMAGE, "image", "latents")
        val hints = compared("hints", "hint_features", Stage.ENCODE_HINT, "hints", "hint_features")
        val recorded = recordedTexts(own) + read("encoded") { it } + hinted { golden.floats(it) } + adapted()
        val mine = inputs.contexts(own) + read("encoded") { picture!! } + hinted { hints!! } + adapted()
        compareSteps(recorded)
        val last = runFreely(mine, picture)
        val image = golden.floats("image")
        val decoded = decode(recordedState(rows.size).latents)
        add(Stage.DECODE_IMAGE.id, null, image.values, decoded)
        if (golden.states > settings.schedule.rows(golden.firstStep).size) {
            add(GoldenResult.PICTURE, null, image.values, decode(last.latents))
        }
        return found
    }

    /** What `encode_text` returns here for each prompt. */
    private suspend fun compareTexts(): Map<String, Map<String, TensorValue.Floats>> =
        inputs.prompts.keys.associateWith { prefix ->
            val outputs = encode(prefix)
            for ((name, value) in outputs) add(Stage.ENCODE_TEXT.id, null, golden.floats(prefix + name).values, value)
            outputs
        }

    /** The outputs for the windows of a text, their contexts joined. */
    private suspend fun encode(prefix: String): Map<String, TensorValue.Floats> {
        val size = settings.tokens.count
        val names = if (settings.usesMask) listOf("tokens", "mask") else listOf("tokens")
        val outputs =
            List(settings.windows) { window ->
                val given =
                    names.associateWith { name ->
                        val ids = golden.integers(prefix + name).values
                        TensorValue.Integers(ids.copyOfRange(window * size, (window + 1) * size), settings.tokens.shape)
                    }
                run(Stage.ENCODE_TEXT, given)
            }
        val contexts = outputs.map { it.getValue("context") }
        val (batch, length, width) = contexts[0].shape
        val values = FloatArray(contexts.sumOf { it.values.size })
        contexts.forEachIndexed { place, each -> each.values.copyInto(values, place * each.values.size) }
        val joined = TensorValue.Floats(values, listOf(batch, length * contexts.size, width))
        return outputs[0] + ("context" to joined)
    }

    private fun recordedTexts(own: Map<String, Map<String, TensorValue.Floats>>): Map<String, TensorValue> =
        inputs.contexts(own.mapValues { (prefix, each) -> each.mapValues { golden.floats(prefix + it.key) } })

    /** What a stage returns for the tensor [given] of the case, compared with [expected]; null without one. */
    private suspend fun compared(
        given: String,
        expected: String,
        stage: Stage,
        input: String,
        output: String,
    ): TensorValue.Floats? {
        if (!golden.has(given)) return null
        val result = run(stage, mapOf(input to golden.floats(given))).getValue(output)
        add(stage.id, null, golden.floats(expected).values, result)
        return result
    }

    /** What `denoise` reads of a picture, by its latents. */
    private fun read(
        name: String,
        latents: (TensorValue.Floats) -> TensorValue.Floats,
    ): Map<String, TensorValue> {
        if (!golden.has(name) || settings.task == Task.DRAW) return emptyMap()
        val constants = inputs.ofPicture(latents(golden.floats(name)))
        return if (golden.has("latent_mask")) constants + ("mask" to golden.floats("latent_mask")) else constants
    }

    private fun hinted(features: (String) -> TensorValue.Floats): Map<String, TensorValue> =
        if (golden.has("hints")) {
            mapOf("hint_features" to features("hint_features"), "hint_scales" to golden.floats("hint_scales"))
        } else {
            emptyMap()
        }

    /** The adapters of the case, all of which are on. */
    private fun adapted(): Map<String, TensorValue> {
        val names = if (settings.adapters.isEmpty()) emptyList() else listOf("adapters", "adapter_scales")
        return names.associateWith(golden::floats)
    }

    /** Each step from the reference's state in front of it. */
    private suspend fun compareSteps(constants: Map<String, TensorValue>) {
        for ((number, row) in rows.withIndex()) {
            val after = step(constants, recordedState(number), row)
            add(Stage.DENOISE.id, stepOf(number), golden.state(number + 1), joined(after))
        }
    }

    /** All steps from this machine's own texts and states: errors add up as in a drawing. */
    private suspend fun runFreely(
        constants: Map<String, TensorValue>,
        picture: TensorValue.Floats?,
    ): StageInputs.State {
        val noise = inputs.firstState(null)
        var state = noise
        if (picture != null && settings.task == Task.DRAW) {
            state = StageInputs.State(inputs.start.noised(picture, noise.latents, rows[0]), noise.memory)
        }
        for ((number, row) in rows.withIndex()) {
            state = step(constants, state, row)
            add("free_running", stepOf(number), golden.state(number + 1), joined(state))
        }
        return state
    }

    private suspend fun step(
        constants: Map<String, TensorValue>,
        state: StageInputs.State,
        row: Int,
    ): StageInputs.State = inputs.after(constants, state, row) { run(Stage.DENOISE, it) }

    private suspend fun decode(latents: TensorValue.Floats): TensorValue.Floats =
        run(Stage.DECODE_IMAGE, mapOf("latents" to latents)).getValue("image")

    private suspend fun run(
        stage: Stage,
        given: Map<String, TensorValue>,
    ): Map<String, TensorValue.Floats> = pipeline.called { it.run(stage, given) }

    private fun recordedState(number: Int): StageInputs.State {
        val all = golden.state(number)
        val count = settings.latents.count
        val latents = TensorValue.Floats(all.copyOfRange(0, count), settings.latents.shape)
        return StageInputs.State(latents, TensorValue.Floats(all.copyOfRange(count, all.size), settings.memoryShape))
    }

    private fun joined(state: StageInputs.State) =
        TensorValue.Floats(
            state.latents.values + state.memory.values,
            listOf(state.latents.values.size + state.memory.values.size),
        )

    /** The place of a recorded step in a whole drawing. */
    private fun stepOf(number: Int): Int =
        settings.schedule.steps - settings.schedule.rows(golden.firstStep).size + number

    private fun add(
        check: String,
        step: Int?,
        expected: FloatArray,
        value: TensorValue.Floats,
    ) {
        val distance = Distance.between(expected, value.values)
        val db = if (check == GoldenResult.PICTURE) distance.psnrDb else distance.snrDb
        val limit =
            bundle.manifest.parity.firstOrNull {
                it.runtime == bundle.runtime.name && it.check == check && it.metric in DISTANCES
            }
        val passed = if (limit == null) !db.isNaN() else db >= limit.limit
        found += GoldenResult(check, step, db, distance.maxAbs, limit?.limit, passed)
    }

    /** A model that edits pictures, and ControlNets, get black pictures: what they read is on record. */
    private fun requestOf(golden: GoldenCase): DrawRequest {
        val image = checkNotNull(bundle.manifest.stage(Stage.DECODE_IMAGE)?.output("image"))
        val (_, channels, height, width) = image.shape
        val black = Picture(width, height, ByteArray(channels * height * width))
        return DrawRequest(
            golden.prompt,
            seed = golden.seed,
            guidance = golden.guidance,
            start = if (settings.task == Task.EDIT) Start(black) else null,
            hints = List(settings.controls) { Hint(black) },
        )
    }

    /** Throws [BundleException] unless the recorded states are those of this bundle's steps. */
    private fun checkShape() {
        val schedule = settings.schedule
        val size = settings.latents.count * (1 + schedule.memory)
        val starts = if (schedule.starts.isEmpty()) schedule.alphas.indices else schedule.starts.indices
        val steps = if (golden.firstStep in starts) schedule.rows(golden.firstStep).size else 0
        if (golden.states in 2..steps + 1 && golden.state(0).size == size) return
        throw BundleException(
            "${bundle.manifest.golden}: expected states of ${schedule.steps} steps, got others; ${Fields.FIX}",
        )
    }

    private companion object {
        val DISTANCES = setOf("snr_db", "psnr_db")
    }
}
