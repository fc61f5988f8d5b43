package org.mobilediffusion.sample

import org.mobilediffusion.core.Picture
import java.io.File

/** A folder that is gone after the test. */
fun inFolder(action: (File) -> Unit) {
    val folder = File.createTempFile("sample", "").apply { delete() }
    check(folder.mkdirs())
    try {
        action(folder)
    } finally {
        folder.deleteRecursively()
    }
}

/** A picture with a different colour at every pixel. */
fun pictureOf(
    width: Int = 5,
    height: Int = 3,
): Picture = Picture(width, height, ByteArray(3 * width * height) { (it * 37).toByte() })
