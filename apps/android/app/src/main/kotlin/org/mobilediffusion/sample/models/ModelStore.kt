package org.mobilediffusion.sample.models

import org.mobilediffusion.core.BundleFiles
import org.mobilediffusion.core.Manifest
import org.mobilediffusion.core.ModelBundle
import org.mobilediffusion.core.RuntimeChoice
import org.mobilediffusion.core.RuntimeSpec
import org.mobilediffusion.core.Stage
import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.quoted
import java.io.File

/** What a list shows of a model. */
data class ModelCard(
    /** Of its folder; what the rest of the app calls it. */
    val name: String,
    val licence: String,
    /** Of a picture, in pixels. */
    val width: Int,
    val height: Int,
    val steps: Int,
    val precision: String,
    /** Of the programs. */
    val bytes: Long,
    /** The scale of guidance that can be changed, or null when it is in the weights. */
    val guidance: Double?,
    /** The styles that a prompt can name. */
    val styles: List<String>,
    /** Width and height of a picture to start from; null when the model cannot start from one. */
    val startSize: Pair<Int, Int>?,
    /** Width and height of the latents, in which a mask is painted. */
    val latentSize: Pair<Int, Int>,
    /** ControlNets, each of which reads a picture of the model's size. */
    val controls: Int,
)

/** The bundles on this device: a folder each.  What is added is verified before it appears. */
class ModelStore(
    private val folder: File,
    /** The runtimes that the app was built with. */
    private val choice: RuntimeChoice = RuntimeChoice(listOf("xnnpack")),
    private val limits: ArchiveLimits = ArchiveLimits(),
) {
    /** Names in the order of the alphabet; each has a manifest, which need not be a good one. */
    fun names(): List<String> =
        folder
            .list()
            .orEmpty()
            .filter { isName(it) && File(folder, "$it/${Manifest.NAME}").isFile }
            .sorted()

    /** Reads a model's manifest; throws BundleException. */
    fun card(name: String): ModelCard {
        val manifest = ModelBundle.readManifest(folderOf(name))
        val programs = manifest.runtimes.filter { it.name in choice.names }.maxByOrNull { it.primary }
        val image = manifest.stage(Stage.DECODE_IMAGE)?.output("image")?.shape
        val latents = manifest.stage(Stage.DECODE_IMAGE)?.input("latents")?.shape
        return ModelCard(
            name = name,
            licence = manifest.licence,
            width = image?.lastOrNull() ?: 0,
            height = image?.getOrNull(2) ?: 0,
            steps = manifest.schedule.steps,
            precision = programs?.precision ?: "no ${choice.names.first()}",
            bytes = programs?.artifacts.orEmpty().sumOf { manifest.files[it.path]?.size ?: 0L },
            guidance = manifest.schedule.guidance.takeIf { manifest.schedule.guidanceKind == "cfg" },
            styles = manifest.styles,
            startSize = ModelBundle.startSizeOf(manifest),
            latentSize = (latents?.lastOrNull() ?: 0) to (latents?.getOrNull(2) ?: 0),
            controls = ModelBundle.controlsOf(manifest),
        )
    }

    /**
     * Opens a model for the runtime [preferred] if it has it, every file checked against its hash; blocks; throws
     * BundleException.
     */
    fun open(
        name: String,
        preferred: String? = null,
    ): ModelBundle = openFolder(folderOf(name), preferred)

    /** The runtimes of a model that this app can open, its own choice first; throws BundleException. */
    fun runtimes(name: String): List<RuntimeSpec> {
        val place = folderOf(name)
        return choice.all(ModelBundle.readManifest(place), "$place", place)
    }

    private fun openFolder(
        place: File,
        preferred: String? = null,
    ): ModelBundle {
        val runtime = choice.of(ModelBundle.readManifest(place), "$place", place, preferred)
        return ModelBundle.open(place, runtime.name)
    }

    /** SHA-256 of a model's manifest, by which a replaced bundle is known; blocks; throws BundleException. */
    fun hash(name: String): String {
        ModelBundle.readManifest(folderOf(name))
        return BundleFiles.sha256(File(folderOf(name), Manifest.NAME))
    }

    /**
     * Adds the bundle of a .zip under its model's name, and gives that; blocks, and tells [onProgress] the bytes
     * unpacked, which may throw to stop.
     *
     * Only what drawing can need is unpacked; name and room are looked at before that.  Nothing of it remains when this
     * fails.  Throws [StoreException], and BundleException for a bundle that the app cannot open.
     */
    @Synchronized
    fun install(
        zip: File,
        onProgress: (Long) -> Unit = {},
    ): String {
        val incoming = File(folder, INCOMING)
        incoming.deleteRecursively()
        if (!incoming.mkdirs()) throw StoreException("$folder: expected a place that can be written, got another")
        try {
            BundleArchive.open(zip, limits).use { archive ->
                val manifest = Manifest.read(archive.manifest())
                val place = File(folder, nameOf(manifest.model))
                if (place.exists()) throw taken(place.name)
                val runtime = choice.of(manifest, Manifest.NAME)
                val files = ModelBundle.filesFor(manifest, Manifest.NAME, runtime.name)
                requireRoom(archive.size(files))
                archive.unpack(files, incoming, onProgress)
                openFolder(incoming)
                if (!incoming.renameTo(place)) throw StoreException("$place: expected a new place, got another")
                return place.name
            }
        } finally {
            incoming.deleteRecursively()
        }
    }

    /** Removes a model; throws [StoreException] when something of it remains. */
    fun delete(name: String) {
        if (folderOf(name).deleteRecursively()) return
        throw StoreException("$name: expected files that can be removed, got storage that is read only")
    }

    private fun taken(name: String) =
        StoreException("$name: expected a new model, got one that is here; delete it first")

    private fun requireRoom(bytes: Long) {
        val free = folder.usableSpace
        if (bytes <= free) return
        throw StoreException("expected ${bytes / MEGABYTE} MB of free storage, got ${free / MEGABYTE} MB; free some")
    }

    private fun folderOf(name: String): File {
        if (!isName(name)) throw StoreException("expected a model's name, got ${quoted(name)}; see Models")
        return File(folder, name)
    }

    companion object {
        /** What an interrupted installation leaves; the next one removes it. */
        private const val INCOMING = ".incoming"
        private const val LONGEST = 64
        private const val MEGABYTE = 1_000_000
        private const val SIGNS = "._-"

        private fun isSign(char: Char) = char in 'a'..'z' || char in 'A'..'Z' || char in '0'..'9' || char in SIGNS

        /** Whether a text can be the name of a model's folder: letters, digits, `.`, `_`, `-`, not first a point. */
        fun isName(text: String): Boolean =
            text.isNotEmpty() && text.length <= LONGEST && text[0] != '.' && text.all(::isSign)

        /** A model's own name as that of a folder. */
        private fun nameOf(model: String): String =
            model
                .map { if (isSign(it)) it else '-' }
                .joinToString("")
                .take(LONGEST)
                .trimStart('.')
                .ifEmpty { "model" }
    }
}
