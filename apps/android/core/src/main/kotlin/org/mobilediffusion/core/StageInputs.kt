package org.mobilediffusion.core

/** What the stages are given: pure functions of the request and of the outputs before. */
internal class StageInputs(
    private val bundle: ModelBundle,
    private val request: DrawRequest,
) {
    /** What changes from step to step: latents (1, C, h, w), and what the solver remembers (1, M * C, h, w). */
    class State(
        val latents: TensorValue.Floats,
        val memory: TensorValue.Floats,
    )

    private val settings = bundle.settings
    private val schedule = settings.schedule
    private val guidance = checkedGuidance()
    private val noMemory =
        TensorValue.Floats(FloatArray(schedule.memory * settings.latents.count), settings.memoryShape)

    private val noOutput = TensorValue.Floats(FloatArray(settings.latents.count), settings.latents.shape)

    /** The prompts that `encode_text` reads, by what begins the names of its outputs as inputs of `denoise`. */
    val prompts: Map<String, String> =
        if (schedule.guidanceKind == CFG && !(schedule.zeroNull && request.negative.isEmpty())) {
            mapOf(PROMPT to request.prompt, NULL to request.negative)
        } else {
            mapOf(PROMPT to request.prompt)
        }

    private val firstNoise by lazy { noise(0) }

    /** What is needed of the picture to start from. */
    val start = StartInputs(bundle.manifest, settings, request.start)

    /** What is needed of the hints of ControlNets. */
    val hints = HintInputs(bundle.manifest, settings, request.hints)

    /** What `denoise` takes of adapters. */
    val adapters = AdapterInputs(settings, request.adapters)

    /** The rows of the table that are drawn. */
    val rows: List<Int> = schedule.rows(start.skipped)

    /** A prompt as it is read; throws [PromptException]. */
    fun reading(prompt: String): Reading = Reading.of(bundle.tokenizer, prompt, request.syntax, settings.windows)

    /** The outputs of `encode_text` for a reading; [encode] runs the stage. */
    fun encoded(
        reading: Reading,
        encode: (Map<String, TensorValue>) -> Map<String, TensorValue.Floats>,
    ): Map<String, TensorValue.Floats> = Weighing(settings.textWidths) { encode(text(it)) }.outputs(reading)

    /** Inputs of `encode_text` for a window. */
    fun text(tokens: Tokens): Map<String, TensorValue> {
        val shape = settings.tokens.shape
        val ids = mapOf("tokens" to TensorValue.Integers(tokens.ids, shape))
        return if (settings.usesMask) ids + ("mask" to TensorValue.Integers(tokens.mask, shape)) else ids
    }

    /** What `denoise` takes of encoded [prompts] at every step; zeros in place of a null text that is not encoded. */
    fun contexts(encoded: Map<String, Map<String, TensorValue.Floats>>): Map<String, TensorValue> {
        val prompt = encoded.getValue(PROMPT)
        if (schedule.guidanceKind != CFG) return prompt
        val zeros = prompt.mapValues { TensorValue.Floats(FloatArray(it.value.values.size), it.value.shape) }
        return prompt + (encoded[NULL] ?: zeros).mapKeys { NULL + it.key }
    }

    /** What `denoise` takes of the latents of a picture that it reads; nothing for a model that reads none. */
    fun ofPicture(latents: TensorValue.Floats?): Map<String, TensorValue> = start.inputs(latents, guidance)

    /** The noise of the seed, or a picture's clean latents at the first step's level of it; and an empty memory. */
    fun firstState(clean: TensorValue.Floats?): State {
        if (clean == null || start.fromNoise) return State(firstNoise, noMemory)
        return State(start.noised(clean, firstNoise, rows[0]), noMemory)
    }

    /** The state after a step from 0, with the picture put back where a mask keeps it. */
    fun kept(
        state: State,
        clean: TensorValue.Floats?,
        step: Int,
    ): State {
        if (clean == null || !start.keeps) return state
        return State(start.kept(state.latents, start.noised(clean, firstNoise, rows.getOrNull(step + 1))), state.memory)
    }

    /** Inputs of `denoise` at a row of the table, without guidance where that is a choice of the step. */
    fun step(
        contexts: Map<String, TensorValue>,
        state: State,
        step: Int,
    ): Map<String, TensorValue> {
        val inputs = HashMap(contexts)
        if (schedule.shares.isNotEmpty()) {
            inputs.keys.removeAll { it.startsWith(NULL) }
            inputs.putAll(guided(noOutput, 1.0))
        } else if (guidance != null) {
            inputs["guidance"] = TensorValue.Floats(floatArrayOf(guidance), listOf(1))
        }
        inputs["latents"] = state.latents
        inputs["step"] = TensorValue.Integers(intArrayOf(step), listOf(1))
        if (schedule.memory > 0) inputs["memory"] = state.memory
        if (schedule.stochastic) inputs["noise"] = noise(step + 1)
        return inputs
    }

    /** Inputs of the call before, for the null text, at a step that takes two; null at any other. */
    private fun nullStep(
        contexts: Map<String, TensorValue>,
        inputs: Map<String, TensorValue>,
        step: Int,
    ): Map<String, TensorValue>? =
        if (scale(step) > 1) {
            inputs + contexts.filterKeys { it.startsWith(NULL) }.mapKeys { it.key.removePrefix(NULL) }
        } else {
            null
        }

    /** Inputs of `denoise` at a step, led away from what the call before gave. */
    private fun guided(
        inputs: Map<String, TensorValue>,
        nullOutputs: Map<String, TensorValue.Floats>,
        step: Int,
    ): Map<String, TensorValue> = inputs + guided(nullOutputs.getValue("output"), scale(step))

    private fun guided(
        nullOutput: TensorValue,
        scale: Double,
    ): Map<String, TensorValue> =
        mapOf("null_output" to nullOutput, "guidance" to TensorValue.Floats(floatArrayOf(scale.toFloat()), listOf(1)))

    /** The scale of a step whose guidance is a choice of its own; else 1. */
    private fun scale(step: Int): Double {
        val share = schedule.shares.getOrNull(step) ?: return 1.0
        return 1 + share * ((guidance ?: 1.0f).toDouble() - 1)
    }

    /** The state after a step, which takes two calls where its guidance is a choice of its own; [denoise] is one. */
    suspend fun after(
        contexts: Map<String, TensorValue>,
        state: State,
        row: Int,
        denoise: suspend (Map<String, TensorValue>) -> Map<String, TensorValue.Floats>,
    ): State {
        val given = step(contexts, state, row)
        val unguided = nullStep(contexts, given, row) ?: return next(denoise(given))
        return next(denoise(guided(given, denoise(unguided), row)))
    }

    /** The state that `denoise` gives. */
    fun next(outputs: Map<String, TensorValue.Floats>): State {
        val latents = outputs.getValue("latents")
        return State(latents, if (schedule.memory > 0) outputs.getValue("memory") else noMemory)
    }

    private fun noise(tensor: Int): TensorValue.Floats {
        val spec = settings.latents
        return TensorValue.Floats(Noise.gaussian(request.seed, spec.count, tensor), spec.shape)
    }

    /** The scale that `denoise` takes, or null when it takes none; throws [PromptException]. */
    private fun checkedGuidance(): Float? {
        val scale = request.guidance ?: schedule.guidance
        if (!scale.isFinite() || scale > MAX_GUIDANCE) {
            throw PromptException("guidance: expected a number up to ${plain(MAX_GUIDANCE)}, got ${plain(scale)}")
        }
        if (schedule.guidanceKind == CFG) return scale.toFloat()
        if (schedule.guidanceKind == NONE) {
            if (scale <= 1) return null
            throw PromptException(
                "guidance: expected 1 or less, as this model was exported without guidance, got ${plain(scale)}; " +
                    "export it with --guidance ${plain(scale)}",
            )
        }
        if (request.negative.isNotEmpty()) {
            throw PromptException("negative prompt: expected none, as guidance is in this model's weights")
        }
        if (scale != schedule.guidance) {
            throw PromptException(
                "guidance: expected ${plain(schedule.guidance)}, which it was distilled with, got ${plain(scale)}",
            )
        }
        return null
    }

    companion object {
        /** Key of the request's own prompt among [prompts]. */
        const val PROMPT = ""

        /** Key of the null text. */
        const val NULL = "null_"
        private const val CFG = "cfg"
        private const val NONE = "none"
    }
}
