package org.mobilediffusion.core

/** What a bundle says of itself, as far as an app needs it; [ManifestReader] reads it from `manifest.json`. */
class Manifest(
    /** The model's name. */
    val model: String,
    val licence: String,
    /** Styles that the model was trained on, which a prompt can name ([styled]); empty for a model without. */
    val styles: List<String>,
    /** Width of the context per text encoder, in the order in which they are joined. */
    val textWidths: List<Int>,
    val stages: List<StageSpec>,
    val runtimes: List<RuntimeSpec>,
    val schedule: Schedule,
    val tokenizer: TokenizerSpec,
    /** Path of the index of the golden vectors. */
    val golden: String,
    /** What the programs must keep to, as measured at export. */
    val parity: List<ParityLimit>,
    /** Every file but the manifest, by its path in the bundle. */
    val files: Map<String, FileSpec>,
) {
    /** Inputs and outputs of a stage, or null when the bundle has no such stage. */
    fun stage(stage: Stage): StageSpec? = stages.firstOrNull { it.stage == stage }

    companion object {
        /** The file's name in a bundle. */
        const val NAME = "manifest.json"

        const val SCHEMA_VERSION = 7

        /**
         * Reads the text of a manifest; [where] begins the lines of its errors.
         *
         * Throws [BundleException]: not a manifest, another schema version, a malformed field, a path that leaves the
         * bundle or is not listed, a stage without a program.
         */
        fun read(
            text: String,
            where: String = NAME,
        ): Manifest = ManifestReader(where).read(text)
    }
}

/** An input or output: [dtype] is "float32" or "int32". */
data class TensorSpec(
    val name: String,
    val dtype: String,
    val shape: List<Int>,
) {
    /** Number of values. */
    val count: Int get() = shape.fold(1, Int::times)
}

/** Inputs and outputs of a stage, in order. */
class StageSpec(
    val stage: Stage,
    val inputs: List<TensorSpec>,
    val outputs: List<TensorSpec>,
) {
    fun input(name: String): TensorSpec? = inputs.firstOrNull { it.name == name }

    fun output(name: String): TensorSpec? = outputs.firstOrNull { it.name == name }
}

/** The program of a stage: its file in the bundle, and the method in that file. */
class Artifact(
    val stage: Stage,
    val path: String,
    val method: String,
)

/** All programs for one runtime. */
class RuntimeSpec(
    val name: String,
    /** Whether an app takes this one when it can choose. */
    val primary: Boolean,
    /** Whether the programs were compared with PyTorch before the bundle appeared. */
    val verified: Boolean,
    /** Of the arithmetic inside, "fp32" for example. */
    val precision: String,
    val artifacts: List<Artifact>,
)

/** The steps of a picture.  Their coefficients are inside the program; these are what an app needs beside it. */
class Schedule(
    /** Latents before row i of the table are alphas[i] * clean + sigmas[i] * noise. */
    val alphas: List<Double>,
    val sigmas: List<Double>,
    /** Rows of drawings that skip 0, 1, ... steps; empty when those are the last ones of the table. */
    val starts: List<List<Int>>,
    /** Tensors that the solver remembers between steps. */
    val memory: Int,
    /** Whether noise is added at the steps. */
    val stochastic: Boolean,
    /** "cfg", "distilled", or "none" for a model that is drawn without guidance. */
    val guidanceKind: String,
    /** The scale of guidance when none is asked for. */
    val guidance: Double,
    /** Share of the guidance at each step of `denoise`; empty where all steps are guided alike. */
    val shares: List<Double>,
    /** Whether a missing negative prompt is zeros instead of the encoded empty prompt. */
    val zeroNull: Boolean,
) {
    /** The steps of a whole drawing. */
    val steps: Int get() = rows(0).size

    /** The input `step` of each call of `denoise`, for a drawing that skips its first steps. */
    fun rows(skipped: Int): List<Int> = if (starts.isEmpty()) (skipped until alphas.size).toList() else starts[skipped]
}

/** The kind of tokenizer, "wordpiece", "clip-bpe" or "clip-bpe-pair" with two files, and its files in the bundle. */
class TokenizerSpec(
    val kind: String,
    val maxTokens: Long,
    val files: List<String>,
)

/** The least that a comparison with PyTorch must reach. */
class ParityLimit(
    val runtime: String,
    /** "encode_text", "free_running", "picture" and so on. */
    val check: String,
    /** "snr_db" and "psnr_db" are distances. */
    val metric: String,
    val limit: Double,
)

/** Size in bytes, and SHA-256 in lower-case hexadecimal. */
class FileSpec(
    val size: Long,
    val sha256: String,
)
