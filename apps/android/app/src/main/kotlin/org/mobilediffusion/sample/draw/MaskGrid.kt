package org.mobilediffusion.sample.draw

/** The part of a picture that is drawn anew: a byte for each place of the latents, painted with a finger. */
class MaskGrid(
    val width: Int,
    val height: Int,
    private val cells: ByteArray = ByteArray(width * height),
) {
    /** A byte for each place: 1 where it is drawn anew, else 0. */
    internal fun copyCells(): ByteArray = cells.copyOf()

    /** Whether a place is drawn anew. */
    operator fun get(
        column: Int,
        row: Int,
    ): Boolean = cells[row * width + column] != KEPT

    /** Paints around a point of the picture, of which the sides are 0 to 1; the brush is a tenth of its width. */
    fun paint(
        x: Float,
        y: Float,
    ) {
        for (row in 0 until height) {
            for (column in 0 until width) {
                val right = (column + MIDDLE) / width - x
                val down = ((row + MIDDLE) / height - y) * height / width
                if (right * right + down * down <= BRUSH * BRUSH) cells[row * width + column] = ANEW
            }
        }
    }

    fun clear() = cells.fill(KEPT)

    /** A byte for each pixel of a picture; null when nothing is painted, and all of the picture is drawn anew. */
    fun mask(
        across: Int,
        down: Int,
    ): ByteArray? {
        if (ANEW !in cells) return null
        return ByteArray(across * down) { cells[it / across * height / down * width + it % across * width / across] }
    }

    private companion object {
        const val KEPT: Byte = 0
        const val ANEW: Byte = 1
        const val MIDDLE = 0.5f
        const val BRUSH = 0.1f
    }
}
