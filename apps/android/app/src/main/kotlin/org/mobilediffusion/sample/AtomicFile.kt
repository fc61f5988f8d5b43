package org.mobilediffusion.sample

import java.io.File
import java.io.IOException

/** Writes a file that appears whole or not at all; [StoreException] on a full disk or one that cannot be written. */
fun writeWhole(
    file: File,
    bytes: ByteArray,
) {
    val draft = File(file.parentFile, ".${file.name}.part")
    try {
        file.parentFile?.mkdirs()
        draft.writeBytes(bytes)
        if (!draft.renameTo(file)) throw IOException("not renamed")
    } catch (error: IOException) {
        draft.delete()
        throw StoreException("$file: expected a place that can be written, got an error; free some storage", error)
    }
}
