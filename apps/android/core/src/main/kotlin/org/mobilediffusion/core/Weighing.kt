package org.mobilediffusion.core

/**
 * The context of a reading: the text encoder's output per window, weighted, mixed, and joined along the tokens.
 *
 * In double precision within, rounded once; a window whose weights are all 1 is not touched.
 */
internal class Weighing(
    private val widths: List<Int>,
    private val encode: (Tokens) -> Map<String, TensorValue.Floats>,
) {
    /** The outputs of `encode_text` for a reading; throws [PromptException] when weights leave no finite text. */
    fun outputs(reading: Reading): Map<String, TensorValue.Floats> {
        val empty = reading.empty?.let { encode(it).getValue(CONTEXT).values }
        var outputs = emptyMap<String, TensorValue.Floats>()
        val contexts =
            reading.versions.map { version ->
                version.windows.map { window ->
                    val found = encode(window.tokens)
                    if (outputs.isEmpty()) outputs = found
                    weighed(found.getValue(CONTEXT).values, window, empty)
                }
            }
        val (batch, length, width) = outputs.getValue(CONTEXT).shape
        val shape = listOf(batch, length * contexts[0].size, width)
        return outputs + (CONTEXT to TensorValue.Floats(mixed(reading, contexts.map(::joined)), shape))
    }

    private fun joined(windows: List<DoubleArray>): DoubleArray {
        val result = DoubleArray(windows.sumOf { it.size })
        windows.forEachIndexed { place, values -> values.copyInto(result, place * values.size) }
        return result
    }

    private fun mixed(
        reading: Reading,
        contexts: List<DoubleArray>,
    ): FloatArray {
        val only = reading.versions.singleOrNull()
        val first = contexts[0]
        if (only != null && only.windows.all { it.isPlain }) return FloatArray(first.size) { first[it].toFloat() }
        val total = reading.versions.sumOf { it.share }
        val values =
            FloatArray(first.size) { place ->
                var sum = 0.0
                for ((number, version) in reading.versions.withIndex()) sum += version.share * contexts[number][place]
                (sum / total).toFloat()
            }
        if (values.all { it.isFinite() }) return values
        throw PromptException("prompt: expected weights that leave a finite text, got weights that do not; change them")
    }

    /** Vectors (L, D) of a window: led away from the empty prompt's, or multiplied, keeping the mean of each encoder. */
    private fun weighed(
        context: FloatArray,
        window: Window,
        empty: FloatArray?,
    ): DoubleArray {
        val result = DoubleArray(context.size) { context[it].toDouble() }
        if (empty == null && window.isPlain) return result
        val length = window.weights.size / widths.size
        val width = context.size / length
        var first = 0
        for ((encoder, own) in widths.withIndex()) {
            var before = 0.0
            var after = 0.0
            val places = (0 until length).flatMap { token -> List(own) { token * width + first + it } }
            for (place in places) {
                val weight = window.weights[encoder * length + place / width]
                val value = context[place].toDouble()
                val base = empty?.get(place)?.toDouble()
                before += value
                after += weight * value
                result[place] = if (base == null) weight * value else base + weight * (value - base)
            }
            if (empty == null) places.forEach { result[it] *= before / after }
            first += own
        }
        return result
    }

    private companion object {
        const val CONTEXT = "context"
    }
}
