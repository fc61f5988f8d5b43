package org.mobilediffusion.core

/** How far values are from a reference; NaN where one of them is not finite. */
internal class Distance private constructor(
    val snrDb: Double,
    /** Against a peak of 1. */
    val psnrDb: Double,
    val maxAbs: Double,
) {
    companion object {
        /** Throws [ModelException] for values of another number. */
        fun between(
            expected: FloatArray,
            found: FloatArray,
        ): Distance {
            if (expected.size != found.size || expected.isEmpty()) {
                throw ModelException(
                    "expected an output of ${expected.size} values, as PyTorch gives, got ${found.size}",
                )
            }
            var (signal, error) = 0.0 to 0.0
            var largest = 0.0
            for (place in expected.indices) {
                val difference = found[place].toDouble() - expected[place]
                signal += expected[place].toDouble() * expected[place]
                error += difference * difference
                largest = maxOf(largest, Math.abs(difference))
            }
            if (!error.isFinite()) return Distance(Double.NaN, Double.NaN, Double.NaN)
            return Distance(decibels(signal, error), decibels(1.0, error / expected.size), largest)
        }

        private fun decibels(
            signal: Double,
            error: Double,
        ): Double = if (error == 0.0) Double.POSITIVE_INFINITY else 10 * Math.log10(signal / error)
    }
}
