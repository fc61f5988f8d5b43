package org.mobilediffusion.core

import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Files and requests of adapters that cannot be used, each refused in one line. */
class AdapterTest {
    @get:Rule val folder = TemporaryFolder()

    private val bundle by lazy { ModelBundle.open(Trajectory("adapters").writeTo(folder.newFolder())) }
    private val room by lazy { bundle.adapterRoom()!! }
    private val whole by lazy { File(bundle.folder, "adapters/ink.safetensors").readBytes() }

    private fun refused(
        part: String,
        action: () -> Unit,
    ) {
        val error = assertFailsWith<DiffusionException> { action() }
        val message = error.message!!
        assertTrue(part in message && '\n' !in message, message)
    }

    private fun edited(
        from: String,
        to: String,
    ): ByteArray {
        val buffer = ByteBuffer.wrap(whole).order(ByteOrder.LITTLE_ENDIAN)
        val length = buffer.getLong().toInt()
        val header = String(whole, 8, length).replace(from, to).toByteArray()
        val size = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(header.size.toLong())
        return size.array() + header + whole.copyOfRange(8 + length, whole.size)
    }

    @Test
    fun `names and factors`() {
        assertEquals(listOf("ink", "clay"), room.names)
        assertContentEquals(bundle.adapter("ink").factors.values, bundle.adapter("wool", whole).factors.values)
        refused("expected one of ink, clay, got 'oil'") { bundle.adapter("oil") }
        assertTrue("adapters/ink.safetensors" in ModelBundle.filesFor(bundle.manifest, "", "xnnpack"))
    }

    @Test
    fun `damaged files`() {
        val infinite = whole.copyOf().also { it[it.size - 1] = 0x7F }.also { it[it.size - 2] = 0x80.toByte() }
        val huge = whole.copyOf().also { it[7] = 0x7F }
        val fits = "an adapter of this bundle's layers"
        val wrong =
            listOf(
                ByteArray(0) to "the file of an adapter",
                whole.copyOf(7) to "the file of an adapter",
                huge to "the file of an adapter",
                whole.copyOf(whole.size - 4) to fits,
                edited("F32", "F16") to fits,
                edited("\"shape\":[2,", "\"shape\":[3,") to fits,
                edited("\"fingerprint\":\"", "\"fingerprint\":\"0") to fits,
                edited("\"factors\"", "\"weights\"") to "expected",
                edited("{", "[") to "expected JSON",
                infinite to "finite numbers",
            )
        for ((bytes, part) in wrong) refused(part) { bundle.adapter("wool", bytes) }
        refused("a name of letters") { bundle.adapter("../ink", whole) }
        File(bundle.folder, "adapters/ink.safetensors").writeBytes(infinite)
        refused("SHA-256") { bundle.adapter("ink") }
    }

    @Test
    fun `damaged indices`() {
        val text = File(bundle.folder, AdapterRoom.INDEX).readText()
        val shape = bundle.settings.adapters
        val changes = listOf("clay" to "../clay", "clay" to "ink", "\"rank\": 2" to "\"rank\": 3", "{" to "")
        for ((from, to) in changes) refused("expected") { AdapterRoom.read(text.replace(from, to), shape, "index") }
        refused("expected adapters of") { AdapterRoom.read(text, listOf(3) + shape.drop(1), "index") }
    }

    @Test
    fun `what a drawing cannot turn on`() {
        val (ink, clay) = bundle.adapter("ink") to bundle.adapter("clay")
        val inputs = { given: List<ScaledAdapter> -> AdapterInputs(bundle.settings, given) }
        for (scale in listOf(5.1, Double.NaN, Double.NEGATIVE_INFINITY)) {
            refused("adapter ink: expected a scale from -5 to 5") { inputs(listOf(ScaledAdapter(ink, scale))) }
        }
        refused("each name once") { inputs(listOf(ScaledAdapter(ink), ScaledAdapter(ink))) }
        val three = listOf(ink, clay, bundle.adapter("wool", whole)).map { ScaledAdapter(it) }
        refused("up to 2 at once, for which there is room, got 3") { inputs(three) }
        val plain = ModelBundle.open(Trajectory("ddim").writeTo(folder.newFolder()))
        refused("expected none, as this model has none, got 'ink'") {
            AdapterInputs(plain.settings, listOf(ScaledAdapter(ink)))
        }
    }
}
