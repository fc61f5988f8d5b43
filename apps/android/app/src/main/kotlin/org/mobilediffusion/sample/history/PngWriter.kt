package org.mobilediffusion.sample.history

import org.mobilediffusion.core.Picture
import java.io.ByteArrayOutputStream
import java.io.DataOutputStream
import java.util.zip.CRC32
import java.util.zip.Deflater
import java.util.zip.DeflaterOutputStream

/** The first eight bytes of every PNG. */
internal val pngSignature =
    byteArrayOf(0x89.toByte(), 'P'.code.toByte(), 'N'.code.toByte(), 'G'.code.toByte(), 13, 10, 26, 10)

/** A picture as PNG, 8 bits RGB, with [texts] as `iTXt` chunks before the pixels: keyword (Latin letters) to text. */
fun pngOf(
    picture: Picture,
    texts: Map<String, String>,
): ByteArray {
    val bytes = ByteArrayOutputStream()
    val out = DataOutputStream(bytes)
    out.write(pngSignature)
    out.chunk("IHDR") {
        writeInt(picture.width)
        writeInt(picture.height)
        write(byteArrayOf(8, 2, 0, 0, 0)) // depth, RGB, deflate, filters, not interlaced
    }
    for ((keyword, text) in texts) {
        out.chunk("iTXt") {
            write(keyword.toByteArray(Charsets.ISO_8859_1))
            write(ByteArray(5)) // end of keyword, not compressed, method, no language, no translated keyword
            write(text.toByteArray(Charsets.UTF_8))
        }
    }
    out.chunk("IDAT") { write(compressed(picture)) }
    out.chunk("IEND") {}
    return bytes.toByteArray()
}

/** The rows, each after a byte that says "no filter". */
private fun compressed(picture: Picture): ByteArray {
    val bytes = ByteArrayOutputStream()
    val row = 3 * picture.width
    val deflater = Deflater(Deflater.BEST_COMPRESSION)
    DeflaterOutputStream(bytes, deflater).use { out ->
        for (y in 0 until picture.height) {
            out.write(0)
            out.write(picture.rgb, y * row, row)
        }
    }
    deflater.end()
    return bytes.toByteArray()
}

private fun DataOutputStream.chunk(
    type: String,
    content: DataOutputStream.() -> Unit,
) {
    val bytes = ByteArrayOutputStream()
    val inner = DataOutputStream(bytes)
    inner.writeBytes(type)
    inner.content()
    val body = bytes.toByteArray()
    writeInt(body.size - type.length)
    write(body)
    writeInt(CRC32().apply { update(body) }.value.toInt())
}
