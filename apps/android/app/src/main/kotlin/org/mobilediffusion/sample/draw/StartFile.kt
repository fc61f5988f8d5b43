package org.mobilediffusion.sample.draw

import org.mobilediffusion.core.Picture
import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.writeWhole
import java.io.File
import java.io.IOException
import java.nio.ByteBuffer

/** The chosen picture and its painted mask in a file, so that a process that ended finds them again. */
class StartFile(
    private val file: File,
) {
    /** Keeps a picture, or removes the kept one at null; without storage nothing is kept. */
    fun write(start: StartPicture?) {
        if (start == null) {
            file.delete()
            return
        }
        val (picture, mask) = start.picture to start.mask
        val cells = mask.copyCells()
        val bytes = ByteBuffer.allocate(SIZES * Int.SIZE_BYTES + picture.rgb.size + cells.size)
        intArrayOf(picture.width, picture.height, mask.width, mask.height).forEach { bytes.putInt(it) }
        bytes.put(picture.rgb).put(cells)
        try {
            writeWhole(file, bytes.array())
        } catch (_: StoreException) {
            file.delete()
        }
    }

    /** The kept picture; null when there is none, or the file is damaged. */
    fun read(): StartPicture? {
        val bytes =
            try {
                ByteBuffer.wrap(file.readBytes())
            } catch (_: IOException) {
                return null
            }
        if (bytes.remaining() < SIZES * Int.SIZE_BYTES) return null
        val (width, height, across, down) = List(SIZES) { bytes.getInt() }
        if (listOf(width, height, across, down).any { it !in 1..MOST }) return null
        if (bytes.remaining() != 3 * width * height + across * down) return null
        val rgb = ByteArray(3 * width * height).also { bytes.get(it) }
        val cells = ByteArray(across * down).also { bytes.get(it) }
        return StartPicture(Picture(width, height, rgb), MaskGrid(across, down, cells))
    }

    private companion object {
        const val SIZES = 4

        /** Pixels on a side. */
        const val MOST = 8192
    }
}
