package org.mobilediffusion.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** What a bundle's adapters change, as `adapters/index.json` says (export/bundle/adapter_files.py). */
class AdapterRoom private constructor(
    /** Names of the bundle's own adapters, in order. */
    val names: List<String>,
    /** SHA-256 of the rank and the layers, which the file of an adapter repeats. */
    private val fingerprint: String,
    /** Rank and columns of an adapter. */
    private val shape: List<Int>,
) {
    /** Reads the file of an adapter; throws [BundleException], which begins with [where], unless it fits. */
    internal fun read(
        bytes: ByteArray,
        name: String,
        where: String,
    ): Adapter {
        if (!NAME.matches(name)) {
            throw BundleException("$where: expected a name of letters, digits, - and _, got ${quote(name)}; rename it")
        }
        val length = headerLength(bytes, where)
        val text =
            decodeUtf8(bytes.copyOfRange(LENGTH, LENGTH + length))
                ?: throw BundleException("$where: expected the file of an adapter, got something else; $REMEDY")
        val header = Fields(JsonReader.read(text, where), where, "__metadata__", TENSOR)
        val found = Fields(header.obj("__metadata__"), where, "fingerprint").text("fingerprint")
        val tensor = Fields(header.obj(TENSOR), where, "dtype", "shape", "data_offsets")
        val size = Float.SIZE_BYTES.toLong() * shape.fold(1) { product, each -> product * each }
        val same = wholes(tensor, "shape") == shape.map(Int::toLong)
        val fits = same && found == fingerprint && tensor.text("dtype") == "F32"
        val whole = wholes(tensor, "data_offsets") == listOf(0L, size) && bytes.size.toLong() == LENGTH + length + size
        if (!fits || !whole) {
            val got = "${quote(tensor.text("dtype"))} ${wholes(tensor, "shape")} of ${quote(found.take(SHOWN))}..."
            val expected = "F32 $shape of ${fingerprint.take(SHOWN)}..."
            throw BundleException("$where: expected an adapter of this bundle's layers, $expected, got $got; $REMEDY")
        }
        val values = FloatArray(size.toInt() / Float.SIZE_BYTES)
        ByteBuffer
            .wrap(bytes, LENGTH + length, size.toInt())
            .order(ByteOrder.LITTLE_ENDIAN)
            .asFloatBuffer()
            .get(values)
        if (!values.all { it.isFinite() }) {
            throw BundleException("$where: expected finite numbers, got NaN or infinity; $REMEDY")
        }
        return Adapter(name, TensorValue.Floats(values, shape))
    }

    companion object {
        internal const val INDEX = "adapters/index.json"
        private const val TENSOR = "factors"
        private const val LENGTH = Long.SIZE_BYTES
        private const val MAX_HEADER = 1 shl 16
        private const val SHOWN = 12
        private const val REMEDY = "make it for this bundle with `mobile-diffusion export adapter`"
        private val NAME = Regex("[A-Za-z0-9_-]{1,40}")

        /** The path of an adapter's file in a bundle. */
        internal fun pathOf(name: String): String = "adapters/$name.safetensors"

        /** Reads the index for adapters of [shape], (n, r, P); throws [BundleException]. */
        internal fun read(
            text: String,
            shape: List<Int>,
            where: String,
        ): AdapterRoom {
            val fields =
                Fields(JsonReader.read(text, where), where, "schema_version", "fingerprint", "names", "rank", "layers")
            val names = fields.texts("names")
            if (!names.all(NAME::matches) || names.toSet().size != names.size) {
                fields.refuse("names", "different names of letters, digits, - and _")
            }
            val layers = fields.list("layers").map { Fields(it, "$where: layers", "name", "inputs", "outputs") }
            val columns = layers.sumOf { Math.addExact(it.whole("inputs"), it.whole("outputs")) }
            val found = listOf(names.size.toLong(), fields.whole("rank"), columns)
            if (found != shape.map(Int::toLong)) {
                throw BundleException("$where: expected adapters of $shape, got $found; ${Fields.FIX}")
            }
            return AdapterRoom(names, fields.text("fingerprint"), shape.drop(1))
        }

        private fun headerLength(
            bytes: ByteArray,
            where: String,
        ): Int {
            val buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
            val length = if (bytes.size < LENGTH) -1 else buffer.getLong()
            if (length in 0..minOf(MAX_HEADER.toLong(), bytes.size.toLong() - LENGTH)) return length.toInt()
            throw BundleException("$where: expected the file of an adapter, got something else; $REMEDY")
        }

        private fun wholes(
            fields: Fields,
            name: String,
        ): List<Long> = fields.list(name).map { Fields.wholeOf(it) ?: fields.refuse(name, "whole numbers") }
    }
}
