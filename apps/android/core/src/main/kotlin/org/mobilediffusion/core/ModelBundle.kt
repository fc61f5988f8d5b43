package org.mobilediffusion.core

import java.io.File
import java.io.IOException

/** An opened bundle: every file that drawing with one runtime can need has been checked against its size and hash. */
class ModelBundle private constructor(
    val folder: File,
    val manifest: Manifest,
    /** The programs that are used. */
    val runtime: RuntimeSpec,
    val tokenizer: Tokenizer,
    /** How latents look; null when the bundle does not say it. */
    val preview: Preview?,
) {
    internal val settings = DrawSettings.of(manifest)

    /** The model's name. */
    val name: String get() = manifest.model

    /** Steps of a picture. */
    val steps: Int get() = manifest.schedule.steps

    /** Size of the programs, in bytes. */
    val programBytes: Long
        get() =
            runtime.artifacts
                .map { it.path }
                .distinct()
                .sumOf { manifest.files[it]?.size ?: 0L }

    /** What the bundle's adapters change, and their names; null without any. Throws [BundleException]. */
    fun adapterRoom(): AdapterRoom? {
        if (settings.adapters.isEmpty()) return null
        val text = BundleFiles(folder, manifest).read(AdapterRoom.INDEX)
        return AdapterRoom.read(text, settings.adapters, "$folder/${AdapterRoom.INDEX}")
    }

    /**
     * One of the bundle's adapters, or with [added] one whose file was made for the bundle later; blocks while it is
     * read. Throws [BundleException].
     */
    fun adapter(
        name: String,
        added: ByteArray? = null,
    ): Adapter {
        val room = adapterRoom() ?: throw BundleException("$folder: expected a bundle with adapters, got one without")
        if (added != null) return room.read(added, name, name)
        if (name !in room.names) {
            throw BundleException("adapter: expected one of ${room.names.joinToString()}, got ${quote(name)}")
        }
        val path = AdapterRoom.pathOf(name)
        val file = BundleFiles(folder, manifest).verify(path)
        val bytes =
            try {
                file.readBytes()
            } catch (error: IOException) {
                throw BundleException("$file: expected a file that can be read, got an error", error)
            }
        return room.read(bytes, name, "$folder/$path")
    }

    /** The file that holds a stage's program. */
    fun file(stage: Stage): File = File(folder, artifact(stage).path)

    /** The name of a stage's method in its program. */
    fun method(stage: Stage): String = artifact(stage).method

    private fun artifact(stage: Stage): Artifact = runtime.artifacts.first { it.stage == stage }

    companion object {
        /**
         * Opens a bundle for the runtime of a name; blocks while files are hashed.
         *
         * Throws [BundleException] in one line: not a bundle, a newer one, no programs for the runtime, a file that is
         * lost, changed, or reached through a link.
         */
        fun open(
            folder: File,
            runtime: String = "xnnpack",
        ): ModelBundle {
            val manifest = readManifest(folder)
            val files = BundleFiles(folder, manifest)
            val chosen = runtimeOf(manifest, "$folder", runtime)
            val words = manifest.tokenizer.files
            val tokenizer = words.map(files::read)
            val preview = if (Preview.FILE in manifest.files) files.read(Preview.FILE) else null
            chosen.artifacts.forEach { files.verify(it.path) }
            return ModelBundle(
                folder,
                manifest,
                chosen,
                Tokenizer.read(manifest.tokenizer, tokenizer, words.map { "$folder/$it" }),
                preview?.let { Preview.read(it, manifest, "$folder/${Preview.FILE}") },
            )
        }

        /** Reads and checks `manifest.json` alone; throws [BundleException] as [open] does. */
        fun readManifest(folder: File): Manifest {
            if (!folder.isDirectory) {
                val got = if (folder.exists()) "a file" else "nothing of that name"
                throw BundleException("$folder: expected a bundle folder, got $got")
            }
            val file = File(folder, Manifest.NAME)
            if (!file.isFile) {
                throw BundleException("$folder: expected a bundle, got a folder without ${Manifest.NAME}")
            }
            return Manifest.read(readText(file, file.path), file.path)
        }

        /**
         * The paths of all files that drawing with a runtime can need, the manifest among them.
         *
         * Throws [BundleException], which begins with [where], when the bundle has no programs for the runtime.
         */
        fun filesFor(
            manifest: Manifest,
            where: String,
            runtime: String,
        ): Set<String> {
            val programs = runtimeOf(manifest, where, runtime).artifacts
            val preview = listOf(Preview.FILE).filter { it in manifest.files }
            val adapters = manifest.files.keys.filter { it.startsWith("adapters/") }
            return setOf(Manifest.NAME) + programs.map { it.path } + manifest.tokenizer.files + preview + adapters
        }

        /** Width and height of a picture to start from; null when the model cannot start from one. */
        fun startSizeOf(manifest: Manifest): Pair<Int, Int>? {
            val image = manifest.stage(Stage.ENCODE_IMAGE)?.input("image") ?: return null
            val (_, _, height, width) = image.shape
            return width to height
        }

        /** The ControlNets of a model, each of which reads a hint. */
        fun controlsOf(manifest: Manifest): Int = DrawSettings.controlsOf(manifest)

        /** Whether a model edits a picture by an instruction, all of it and in every step. */
        fun editsPictures(manifest: Manifest): Boolean = DrawSettings.taskOf(manifest) == Task.EDIT

        private fun runtimeOf(
            manifest: Manifest,
            where: String,
            name: String,
        ): RuntimeSpec =
            manifest.runtimes.firstOrNull { it.name == name } ?: throw BundleException(
                "$where: expected programs for $name, got ${manifest.runtimes.joinToString { it.name }}; " +
                    "export for android with --runtime $name",
            )
    }
}

/** The text of a file in UTF-8; throws [BundleException] beginning with [where]. */
internal fun readText(
    file: File,
    where: String,
): String {
    val bytes =
        try {
            file.readBytes()
        } catch (error: IOException) {
            throw BundleException("$where: expected a file that can be read, got an error", error)
        }
    return decodeUtf8(bytes)
        ?: throw BundleException("$where: expected JSON, got something else; ${Fields.FIX}")
}
