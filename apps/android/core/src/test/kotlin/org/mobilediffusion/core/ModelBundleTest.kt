package org.mobilediffusion.core

import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.File
import java.nio.file.Files
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

/** Bundles as they lie on a disk, whole and spoiled. */
class ModelBundleTest {
    @get:Rule val folder = TemporaryFolder()

    private val random = Random(11)
    private val programs = Stage.drawing.map { "${it.id}.pte" }
    private val needed = programs + "tokenizer.json" + "preview.json"

    /** A bundle whose programs hold something. */
    private fun whole(): File {
        val bundle = Trajectory("ddim").writeTo(folder.newFolder())
        for (program in programs) File(bundle, program).writeBytes(random.nextBytes(random.nextInt(1, 200_000)))
        programs.forEach { reseal(bundle, it) }
        return bundle
    }

    /** States the size and the hash that a file has now. */
    private fun reseal(
        bundle: File,
        path: String,
    ) = edit(bundle) { manifest ->
        val bytes = File(bundle, path).readBytes()
        val now = mapOf("size" to JsonNumber("${bytes.size}"), "sha256" to JsonText(Golden.sha256(bytes)))
        val files =
            manifest["files"].items.map {
                if (it["path"].text == path) JsonObject((it as JsonObject).fields + now) else it
            }
        JsonObject(manifest.fields + ("files" to JsonList(files)))
    }

    private fun edit(
        bundle: File,
        change: (JsonObject) -> JsonObject,
    ) {
        val file = File(bundle, "manifest.json")
        file.writeText(change(JsonReader.read(file.readText(), "") as JsonObject).toString())
    }

    private fun refusal(
        bundle: File,
        runtime: String = "xnnpack",
    ): String {
        val message = assertFailsWith<BundleException> { ModelBundle.open(bundle, runtime) }.message!!
        assertTrue("expected" in message && message.lines().size == 1, message)
        return message
    }

    @Test fun `a whole bundle`() {
        val place = whole()
        val bundle = ModelBundle.open(place)
        assertEquals(File(place, "denoise.pte"), bundle.file(Stage.DENOISE))
        assertEquals("forward", bundle.method(Stage.DENOISE))
        assertEquals(Manifest.read(File(place, "manifest.json").readText()).model, bundle.name)
        assertEquals(Trajectory("ddim").steps, bundle.steps)
        assertNotNull(bundle.preview)
    }

    @Test fun `a folder that is reached through a link is as good as another`() {
        val link = File(folder.root, "link")
        Files.createSymbolicLink(link.toPath(), whole().toPath())
        ModelBundle.open(link)
    }

    private val spoils: Map<String, (File) -> Unit> =
        mapOf(
            "bytes, got" to { file -> file.writeBytes(file.readBytes().dropLast(random.nextInt(1, 9)).toByteArray()) },
            "SHA-256" to { file ->
                val bytes = file.readBytes()
                val place = random.nextInt(bytes.size)
                bytes[place] = (bytes[place].toInt() xor (1 shl random.nextInt(8))).toByte()
                file.writeBytes(bytes)
            },
            "expected a file, got none" to { file -> assertTrue(file.delete()) },
            "expected a plain file, got a link" to { file ->
                val other = File(file.parentFile, "elsewhere")
                assertTrue(file.renameTo(other))
                Files.createSymbolicLink(file.toPath(), other.toPath())
            },
        )

    @Test fun `every file that is needed, spoiled in every way`() {
        repeat(3) {
            for (path in needed) {
                for ((message, spoil) in spoils) {
                    val bundle = whole()
                    spoil(File(bundle, path))
                    val found = refusal(bundle)
                    assertTrue(message in found && path in found, "$path, $message: $found")
                    assertTrue(bundle.deleteRecursively())
                }
            }
        }
    }

    @Test fun `a folder in its place`() {
        val bundle = whole()
        assertTrue(File(bundle, "denoise.pte").delete() && File(bundle, "denoise.pte").mkdir())
        assertTrue("denoise.pte: expected a file, got none" in refusal(bundle))
    }

    @Test fun `a linked folder on the way`() {
        val bundle = whole()
        assertTrue(File(bundle, "programs").mkdir())
        File(bundle, "denoise.pte").copyTo(File(bundle, "programs/denoise.pte"))
        val text = File(bundle, "manifest.json").readText()
        File(bundle, "manifest.json").writeText(text.replace("\"denoise.pte\"", "\"programs/denoise.pte\""))
        ModelBundle.open(bundle)
        assertTrue(File(bundle, "programs").renameTo(File(bundle, "others")))
        Files.createSymbolicLink(File(bundle, "programs").toPath(), File(bundle, "others").toPath())
        assertTrue("programs/denoise.pte: expected a plain file, got a link" in refusal(bundle))
    }

    @Test fun `files that drawing does not need may be lost`() {
        val bundle = whole()
        assertTrue(File(bundle, "golden").deleteRecursively())
        ModelBundle.open(bundle)
    }

    @Test fun `what is no bundle`() {
        val file = folder.newFile()
        assertEquals("$file: expected a bundle folder, got a file", refusal(file))
        val none = File(folder.root, "none")
        assertEquals("$none: expected a bundle folder, got nothing of that name", refusal(none))
        val empty = folder.newFolder()
        assertEquals("$empty: expected a bundle, got a folder without manifest.json", refusal(empty))
        File(empty, "manifest.json").mkdir()
        assertEquals("$empty: expected a bundle, got a folder without manifest.json", refusal(empty))
    }

    @Test fun `a manifest that is not UTF-8`() {
        val bundle = whole()
        for (bytes in listOf(byteArrayOf(-1, -2), byteArrayOf('"'.code.toByte(), -64, -128, '"'.code.toByte()))) {
            File(bundle, "manifest.json").writeBytes(bytes)
            assertTrue("expected JSON" in refusal(bundle))
        }
    }

    @Test fun `a newer bundle`() {
        val bundle = whole()
        edit(bundle) { JsonObject(it.fields + ("schema_version" to JsonNumber("8")) + ("planets" to JsonNull)) }
        assertTrue("schema version 7, got 8; update this program" in refusal(bundle))
    }

    @Test fun `a stage that is missing`() {
        val bundle = whole()
        edit(bundle) { JsonObject(it.fields + ("stages" to JsonList(it["stages"].items.dropLast(1)))) }
        assertTrue("expected the stages encode_text, denoise, decode_image" in refusal(bundle))
    }

    @Test fun `stages that take or give something else`() {
        val names = listOf("latents", "context", "image", "step", "mask")
        for (name in names) {
            val bundle = whole()
            val file = File(bundle, "manifest.json")
            val stages = JsonReader.read(file.readText(), "")["stages"].toString()
            assertTrue("\"$name\"" in stages)
            edit(bundle) { manifest ->
                val changed = stages.replace("\"name\":\"$name\"", "\"name\":\"other\"")
                JsonObject(manifest.fields + ("stages" to JsonReader.read(changed, "")))
            }
            assertTrue("expected stages that take latents and give an image" in refusal(bundle), name)
        }
    }

    @Test fun `pictures that are decoded by tiles`() {
        val tiled = Trajectory("tiles").writeTo(folder.newFolder())
        assertTrue("joins no tiles; export it without --tile" in refusal(tiled))
    }

    @Test fun `another runtime`() {
        val message = refusal(whole(), "vulkan")
        assertTrue("expected programs for vulkan, got xnnpack; export for android with --runtime vulkan" in message)
    }

    @Test fun `a preview that does not fit`() {
        for (text in listOf("", "{}", "{\"weights\":[[1],[1],[1]],\"bias\":[1,1,1]}", "{\"weights\":1,\"bias\":[]}")) {
            val bundle = whole()
            File(bundle, "preview.json").writeText(text)
            reseal(bundle, "preview.json")
            assertTrue("preview.json: " in refusal(bundle), text)
        }
    }

    @Test fun `storage that can only be read`() {
        val bundle = whole()
        val files = bundle.walkTopDown().toList()
        val before = files.map { it.lastModified() to it.length() }
        files.forEach { assertTrue(it.setReadOnly()) }
        ModelBundle.open(bundle)
        assertEquals(files, bundle.walkTopDown().toList())
        assertEquals(before, files.map { it.lastModified() to it.length() })
        files.forEach { it.setWritable(true) }
    }

    @Test fun `a file that cannot be read`() {
        val bundle = whole()
        val program = File(bundle, "denoise.pte")
        assertTrue(program.setReadable(false))
        org.junit.Assume.assumeFalse("the superuser reads everything", program.canRead())
        assertTrue("expected a file that can be read, got an error" in refusal(bundle))
    }
}
