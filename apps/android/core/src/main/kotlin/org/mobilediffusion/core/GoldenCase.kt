package org.mobilediffusion.core

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** One prompt that PyTorch drew, with what it computed on the way. */
internal class GoldenCase(
    val prompt: String,
    val seed: ULong,
    val guidance: Double,
    /** Steps that a drawing from a picture skips. */
    val firstStep: Int,
    private val tensors: Map<String, TensorValue>,
    private val where: String,
) {
    /** States on record: one before each step, and one after the last. */
    val states: Int get() = floats("states").shape.first()

    fun has(name: String): Boolean = name in tensors

    fun floats(name: String): TensorValue.Floats = tensors[name] as? TensorValue.Floats ?: lost(name)

    fun integers(name: String): TensorValue.Integers = tensors[name] as? TensorValue.Integers ?: lost(name)

    /** Latents and memory in front of a step. */
    fun state(number: Int): FloatArray {
        val all = floats("states").values
        val size = all.size / states
        return all.copyOfRange(number * size, (number + 1) * size)
    }

    private fun lost(name: String): Nothing =
        throw BundleException("$where: expected the tensor $name, got none; ${Fields.FIX}")

    companion object {
        /** All cases of a bundle; throws [BundleException] for an index or a file that is lost, changed or malformed. */
        fun read(
            folder: File,
            manifest: Manifest,
        ): List<GoldenCase> = Reader(BundleFiles(folder, manifest), manifest.golden).cases()
    }

    private class Reader(
        private val files: BundleFiles,
        private val where: String,
    ) {
        fun cases(): List<GoldenCase> {
            val index =
                Fields(JsonReader.read(files.read(where), where), where, "schema_version", "byte_order", "cases")
            val cases = index.list("cases").map(::case)
            if (cases.isEmpty()) index.refuse("cases", "a case at least")
            return cases
        }

        private fun case(value: Json): GoldenCase {
            val names = arrayOf("prompt", "seed", "strength", "guidance", "first_step", "tensors")
            val fields = Fields(value, "$where: cases", *names)
            val seed = parseSeed(fields.text("seed")) ?: fields.refuse("seed", "a seed")
            val skipped = fields.whole("first_step").takeIf { it in 0..Int.MAX_VALUE }
            return GoldenCase(
                fields.text("prompt"),
                seed,
                fields.number("guidance"),
                skipped?.toInt() ?: fields.refuse("first_step", "a number of steps"),
                fields.obj("tensors").fields.mapValues { (name, entry) -> tensor(name, entry) },
                where,
            )
        }

        private fun tensor(
            name: String,
            value: Json,
        ): TensorValue {
            val fields = Fields(value, "$where: $name", "path", "dtype", "shape")
            val sizes = fields.list("shape").map { Fields.wholeOf(it) ?: 0 }
            val bytes = files.verify(innerPath(fields, "path")).readBytes()
            val fits = sizes.all { it in 1..bytes.size } && sizes.fold(4L, Long::times) == bytes.size.toLong()
            if (!fits) fields.refuse("shape", "the shape of ${bytes.size} bytes")
            val shape = sizes.map { it.toInt() }
            val buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
            return if (fields.oneOf("dtype", listOf("float32", "int32")) == "float32") {
                TensorValue.Floats(FloatArray(bytes.size / 4).also { buffer.asFloatBuffer().get(it) }, shape)
            } else {
                TensorValue.Integers(IntArray(bytes.size / 4).also { buffer.asIntBuffer().get(it) }, shape)
            }
        }
    }
}
