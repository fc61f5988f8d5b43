package org.mobilediffusion.sample.models

import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.inFolder
import java.io.ByteArrayOutputStream
import java.io.File
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
    fun `files are unpacked as they are`() =
        inFolder { folder ->
            val root = unpack(zipOf(files), folder)
            assertEquals(folder, root)
            assertEquals("[]", File(root, "golden/index.json").readText())
        }

    @Test
    fun `a folder around the files is no part of the bundle`() =
        inFolder { folder ->
            val root = unpack(zipOf(files.mapKeys { "android/${it.key}" }), folder)
            assertEquals(File(folder, "android"), root)
        }

    @Test
    fun `names that leave the folder are refused`() {
        val names = listOf("../evil", "a/../../evil", "/evil", "a//b", "./a", "a\\..\\evil", "a/..", "..", "x\u0000y")
        for (name in names) {
            inFolder { outside ->
                val folder = File(outside, "in").apply { mkdirs() }
                val line = refusal(zipOf(mapOf(name to "x")), folder)
                assertTrue("names" in line && '\n' !in line && '\u0000' !in line, "$name: $line")
                assertEquals(listOf("in"), outside.list()!!.toList(), name)
                assertFalse(File("/evil").exists())
            }
        }
    }

    @Test
    fun `a bomb is stopped at the limit, not after it`() =
        inFolder { folder ->
            val archive = BundleArchive(ArchiveLimits(files = 3, bytes = 100_000))
            val bomb = zipOf(mapOf("manifest.json" to "0".repeat(10_000_000)))
            assertFailsWith<StoreException> { archive.unpack(bomb.inputStream(), folder) }
            assertTrue(File(folder, "manifest.json").length() <= 100_000)
            val many = zipOf((0..3).associate { "$it" to "x" })
            assertFailsWith<StoreException> { archive.unpack(many.inputStream(), File(folder, "many")) }
        }

    @Test
    fun `what is no archive of a bundle is refused`() {
        val whole = zipOf(files)
        val wrong =
            mapOf(
                "something else" to "no zip at all".toByteArray(),
                "something" to ByteArray(0),
                "cannot be read" to whole.copyOf(45),
                "without manifest.json" to zipOf(mapOf("readme" to "x")),
            )
        for ((part, bytes) in wrong) inFolder { folder -> assertTrue(part in refusal(bytes, folder), part) }
    }

    @Test
    fun `a stop is passed on`() =
        inFolder { folder ->
            assertFailsWith<InterruptedException> {
                BundleArchive().unpack(zipOf(files).inputStream(), folder) { throw InterruptedException() }
            }
        }

    private fun unpack(
        zip: ByteArray,
        folder: File,
    ) = BundleArchive().unpack(zip.inputStream(), folder)

    private fun refusal(
        zip: ByteArray,
        folder: File,
    ): String = assertFailsWith<StoreException> { unpack(zip, folder) }.message!!
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
