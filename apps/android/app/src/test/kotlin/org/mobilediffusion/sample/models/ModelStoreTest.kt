package org.mobilediffusion.sample.models

import org.mobilediffusion.core.BundleException
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

/** On a real bundle, the folder of which the system property `bundle` names. */
class ModelStoreTest {
    private val bundle = File(checkNotNull(System.getProperty("bundle")) { "expected -Dbundle=FOLDER, got none" })

    @Test
    fun `a bundle is added, opened and deleted`() =
        inFolder { folder ->
            val store = ModelStore(folder)
            var unpacked = 0L
            val name = store.install(zip().inputStream()) { unpacked = it }
            assertEquals(bundle.walk().filter { it.isFile }.sumOf { it.length() }, unpacked)
            assertEquals(listOf(name), store.names())
            assertEquals(name, store.open(name).folder.name)
            val card = store.card(name)
            assertEquals("fp32", card.precision)
            assertTrue(card.width > 0 && card.height > 0 && card.steps > 0 && card.bytes > 0)
            store.delete(name)
            assertEquals(emptyList(), folder.list()!!.toList())
        }

    @Test
    fun `a changed bundle does not appear`() =
        inFolder { folder ->
            val store = ModelStore(folder)
            assertFailsWith<BundleException> { store.install(zip(changed = "denoise.pte").inputStream()) }
            assertEquals(emptyList(), folder.list()!!.toList())
        }

    @Test
    fun `a stop leaves nothing`() =
        inFolder { folder ->
            assertFailsWith<InterruptedException> {
                ModelStore(folder).install(zip().inputStream()) { throw InterruptedException() }
            }
            assertEquals(emptyList(), folder.list()!!.toList())
        }

    @Test
    fun `a second model of a name is refused, and the first stays`() =
        inFolder { folder ->
            val store = ModelStore(folder)
            val name = store.install(zip().inputStream())
            assertFailsWith<StoreException> { store.install(zip().inputStream()) }
            store.open(name)
        }

    @Test
    fun `names stay within the folder`() =
        inFolder { folder ->
            val store = ModelStore(File(folder, "models"))
            File(folder, "precious").mkdirs()
            for (name in listOf("../precious", "..", ".", "", "a/b", ".part", "ı", "a\u0000b")) {
                assertFalse(ModelStore.isName(name), name)
                assertFailsWith<StoreException>(name) { store.delete(name) }
            }
            assertTrue(File(folder, "precious").isDirectory)
        }

    @Test
    fun `what is being put there is not shown yet`() =
        inFolder { folder ->
            File(folder, ".emoji.part").mkdirs()
            File(folder, ".emoji.part/manifest.json").writeText("{}")
            File(folder, "empty").mkdirs()
            assertEquals(emptyList(), ModelStore(folder).names())
        }

    private fun zip(changed: String? = null): ByteArray {
        val bytes = ByteArrayOutputStream()
        ZipOutputStream(bytes).use { zip ->
            for (file in bundle.walk().filter { it.isFile }) {
                zip.putNextEntry(ZipEntry(file.relativeTo(bundle).path))
                val content = file.readBytes()
                if (file.name == changed) content[content.size / 2]++
                zip.write(content)
            }
        }
        return bytes.toByteArray()
    }
}
