package org.mobilediffusion.core

/** A dense tensor in C order. */
sealed interface TensorValue {
    val shape: List<Int>

    /** float32. */
    class Floats(
        val values: FloatArray,
        override val shape: List<Int>,
    ) : TensorValue {
        init {
            checkCount(values.size, shape)
        }
    }

    /** int32. */
    class Integers(
        val values: IntArray,
        override val shape: List<Int>,
    ) : TensorValue {
        init {
            checkCount(values.size, shape)
        }
    }
}

private fun checkCount(
    count: Int,
    shape: List<Int>,
) {
    val wanted = shape.fold(1L) { product, size -> product * size }
    require(count.toLong() == wanted) { "expected $wanted values for the shape $shape, got $count" }
}
