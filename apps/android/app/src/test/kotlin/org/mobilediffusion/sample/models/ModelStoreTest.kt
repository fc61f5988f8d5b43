package org.mobilediffusion.sample.models

import org.mobilediffusion.core.BundleException
import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.inFolder
import java.io.File
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
            val name = store.install(zip()) { unpacked = it }
            val installed = File(folder, name).walk().filter { it.isFile }
            assertEquals(installed.sumOf { it.length() }, unpacked)
            val expected =
                setOf("manifest.json", "encode_text.pte", "denoise.pte", "decode_image.pte", "tokenizer.json")
            assertEquals(expected + setOf("preview.json", "encode_image.pte"), installed.map { it.name }.toSet())
            assertEquals(listOf(name), store.names())
            assertEquals(name, store.open(name).folder.name)
            val programs =
                bundle.listFiles()!!.filter {
                    it.name.endsWith(".pte")
                }
            assertEquals(programs.sumOf { it.length() }, store.open(name).programBytes)
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
            assertFailsWith<BundleException> { store.install(zip(damaged = "denoise.pte")) }
            assertEquals(emptyList(), folder.list()!!.toList())
        }

    @Test
    fun `a stop leaves nothing`() =
        inFolder { folder ->
            assertFailsWith<InterruptedException> {
                ModelStore(folder).install(zip()) { throw InterruptedException() }
            }
            assertEquals(emptyList(), folder.list()!!.toList())
        }

    @Test
    fun `a second model of a name is refused, and the first stays`() =
        inFolder { folder ->
            val store = ModelStore(folder)
            val name = store.install(zip())
            assertFailsWith<StoreException> { store.install(zip()) }
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

    /** The bundle as a file in a folder of its own. */
    private fun zip(damaged: String? = null): File =
        File.createTempFile("bundle", ".zip").apply {
            deleteOnExit()
            writeBytes(zipOfBundle(bundle, damaged))
        }
}
