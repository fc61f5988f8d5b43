package org.mobilediffusion.sample.history

import java.io.DataInputStream
import java.io.File
import java.io.IOException
import java.util.zip.CRC32

/** A text's chunk is no longer: a prompt has a million characters at most. */
private const val LONGEST = 8 shl 20

/** The texts that [pngOf] put before the pixels of a file; null when it is not a whole PNG of that kind. */
fun pngTexts(file: File): Map<String, String>? =
    try {
        DataInputStream(file.inputStream().buffered()).use(::texts)
    } catch (_: IOException) {
        null
    }

private fun texts(input: DataInputStream): Map<String, String>? {
    val signature = ByteArray(pngSignature.size).also(input::readFully)
    if (!signature.contentEquals(pngSignature)) return null
    val texts = LinkedHashMap<String, String>()
    while (true) {
        val length = input.readInt()
        if (length !in 0..LONGEST) return null
        val type = ByteArray(4).also(input::readFully)
        if (type.decodeToString() == "IDAT") return texts
        val body = ByteArray(length).also(input::readFully)
        if (CRC32().apply { update(type + body) }.value.toInt() != input.readInt()) return null
        if (type.decodeToString() != "iTXt") continue
        val end = body.indexOf(0)
        if (end < 0 || end + 5 > length) return null
        texts[body.decodeToString(0, end)] = body.decodeToString(end + 5)
    }
}
