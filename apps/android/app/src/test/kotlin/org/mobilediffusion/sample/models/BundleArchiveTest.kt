package org.mobilediffusion.sample.models

import org.mobilediffusion.sample.inFolder
import java.io.ByteArrayOutputStream
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class BundleArchiveTest {
    private val files = mapOf("manifest.json" to "{}", "golden/index.json" to "[]")

    @Test
    fun `only the files that are asked for are unpacked`() =
        inFolder { folder ->
            opened(zipOf(files + ("other" to "x")), folder) { archive ->
                assertEquals("{}", archive.manifest())
                assertEquals(4, archive.size(files.keys))
                val out = File(folder, "out")
                archive.unpack(files.keys, out)
                assertEquals("[]", File(out, "golden/index.json").readText())
                assertEquals(setOf("manifest.json", "golden"), out.list()!!.toSet())
            }
        }

    @Test
    fun `folders around the files are no part of the bundle`() {
        for (around in listOf("android/", "models/android/", "a/b/c/")) {
            val others =
                mapOf("__MACOSX/$around._manifest.json" to "x", "${around}golden/deeper/manifest.json" to "y")
            inFolder { folder ->
                opened(zipOf(files.mapKeys { around + it.key } + others), folder) { archive ->
                    archive.unpack(files.keys, File(folder, "out"))
                    assertEquals("[]", File(folder, "out/golden/index.json").readText(), around)
                }
            }
        }
        inFolder { folder ->
            val two = mapOf("a/manifest.json" to "{}", "b/manifest.json" to "{}")
            assertTrue("one bundle" in refusal(zipOf(two), folder))
        }
    }

    @Test
    fun `archives of other tools are read by their central directory`() {
        for ((kind, zip) in mapOf("streamed" to storedZip(files, false), "zip64" to storedZip(files, true))) {
            inFolder { folder ->
                opened(zip, folder) { archive ->
                    archive.unpack(files.keys, File(folder, "out"))
                    assertEquals("[]", File(folder, "out/golden/index.json").readText(), kind)
                }
            }
        }
    }

    @Test
    fun `names that leave the folder are refused`() {
        val names = listOf("../evil", "a/../../evil", "/evil", "a//b", "./a", "a\\..\\evil", "a/..", "..", "x\u0000y")
        for (name in names) {
            inFolder { folder ->
                val line = refusal(zipOf(files + (name to "x")), folder)
                assertTrue("names" in line && '\n' !in line && '\u0000' !in line, "$name: $line")
                assertFalse(File("/evil").exists())
            }
        }
    }

    @Test
    fun `a bomb is stopped at the limit, not after it`() =
        inFolder { folder ->
            val limits = ArchiveLimits(files = 3, bytes = 100_000, text = 10)
            val bomb = zipOf(mapOf("manifest.json" to "0".repeat(10_000_000)))
            opened(bomb, folder, limits) { archive ->
                assertFailsWith<ArchiveException> { archive.manifest() }
                assertFailsWith<ArchiveException> { archive.unpack(listOf("manifest.json"), File(folder, "out")) }
                assertTrue(File(folder, "out/manifest.json").length() <= 100_000)
            }
            assertTrue("3 files at most" in refusal(zipOf((0..3).associate { "$it" to "x" }), folder, limits))
        }

    @Test
    fun `what is no archive of a bundle is refused`() {
        val wrong =
            mapOf(
                "something else" to "no zip at all".toByteArray(),
                "nothing" to ByteArray(0),
                "cut" to zipOf(files).copyOf(45),
                "no manifest" to zipOf(mapOf("readme" to "x")),
            )
        for ((kind, bytes) in wrong) {
            inFolder { folder -> assertTrue("bundle" in refusal(bytes, folder), kind) }
        }
        inFolder { folder ->
            opened(zipOf(files), folder) { archive ->
                assertFailsWith<ArchiveException> { archive.unpack(listOf("denoise.pte"), File(folder, "out")) }
            }
        }
    }

    @Test
    fun `a stop is passed on`() =
        inFolder { folder ->
            opened(zipOf(files), folder) { archive ->
                assertFailsWith<InterruptedException> {
                    archive.unpack(files.keys, File(folder, "out")) { throw InterruptedException() }
                }
            }
        }

    private fun opened(
        zip: ByteArray,
        folder: File,
        limits: ArchiveLimits = ArchiveLimits(),
        action: (BundleArchive) -> Unit,
    ) {
        val file = File(folder, "a.zip").apply { writeBytes(zip) }
        BundleArchive.open(file, limits).use(action)
    }

    private fun refusal(
        zip: ByteArray,
        folder: File,
        limits: ArchiveLimits = ArchiveLimits(),
    ): String = assertFailsWith<ArchiveException> { opened(zip, folder, limits) {} }.message!!
}

/** An archive of texts. */
fun zipOf(files: Map<String, String>): ByteArray {
    val bytes = ByteArrayOutputStream()
    ZipOutputStream(bytes).use { zip ->
        for ((name, text) in files) {
            zip.putNextEntry(ZipEntry(name))
            zip.write(text.toByteArray())
        }
    }
    return bytes.toByteArray()
}

/**
 * An archive as tools write it into a pipe (APPNOTE 4.3.9): stored, its sizes behind the data and in the directory alone,
 * there in 64 bits if asked for.
 */
private fun storedZip(
    files: Map<String, String>,
    zip64: Boolean,
): ByteArray {
    val body = ByteArrayOutputStream()
    val directory = ByteArrayOutputStream()
    for ((name, text) in files) {
        val (path, data) = name.toByteArray() to text.toByteArray()
        val sum = CRC32().apply { update(data) }.value.toInt()
        val place = body.size()
        body.write(
            numbers(0x04034b50, short(45), short(8), short(0), 0, 0, 0, 0, short(path.size), short(0)) + path + data,
        )
        body.write(numbers(0x08074b50, sum, data.size, data.size))
        val sizes = if (zip64) listOf<Any>(-1, -1) else listOf<Any>(data.size, data.size)
        val extra = if (zip64) numbers(short(1), short(16), data.size.toLong(), data.size.toLong()) else ByteArray(0)
        val entry = arrayOf(0x02014b50, short(45), short(45), short(8), short(0), 0, sum, *sizes.toTypedArray())
        directory.write(
            numbers(*entry, short(path.size), short(extra.size), short(0), short(0), short(0), 0, place) + path + extra,
        )
    }
    val count = short(files.size)
    val end = numbers(0x06054b50, short(0), short(0), count, count, directory.size(), body.size(), short(0))
    return body.toByteArray() + directory.toByteArray() + end
}

private fun short(value: Int): Short = value.toShort()

/** Each number in as many bytes as its type has, the lowest first. */
private fun numbers(vararg values: Any): ByteArray {
    val buffer = ByteBuffer.allocate(values.size * Long.SIZE_BYTES).order(ByteOrder.LITTLE_ENDIAN)
    for (value in values) {
        when (value) {
            is Short -> buffer.putShort(value)
            is Int -> buffer.putInt(value)
            is Long -> buffer.putLong(value)
        }
    }
    return buffer.array().copyOf(buffer.position())
}
