package org.mobilediffusion.sample.models

import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.quoted
import java.io.ByteArrayOutputStream
import java.io.Closeable
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.util.zip.ZipEntry
import java.util.zip.ZipFile

/** The most that an archive may hold and unpack to. */
data class ArchiveLimits(
    val files: Int = 10_000,
    val bytes: Long = 8L shl 30,
    /** Of a text that is read into memory. */
    val text: Int = 4 shl 20,
)

/** What no second attempt can use: not a .zip, or none of a bundle. */
class ArchiveException(
    message: String,
    cause: Throwable? = null,
) : StoreException(message, cause)

/**
 * A bundle's .zip: the files themselves, or folders that hold them.
 *
 * Its central directory is read, as the format demands (APPNOTE 4.3.12): sizes beside the data may be missing or wrong.
 */
class BundleArchive private constructor(
    private val zip: ZipFile,
    /** By the paths in the bundle. */
    private val entries: Map<String, ZipEntry>,
    private val limits: ArchiveLimits,
) : Closeable by zip {
    /** The text of `manifest.json`; throws [ArchiveException] when it is too long. */
    fun manifest(): String {
        val bytes = ByteArrayOutputStream()
        reading { zip.getInputStream(entryOf(MANIFEST)) }.use { copy(it, bytes, limits.text.toLong()) {} }
        return bytes.toString("UTF-8")
    }

    /** Bytes of files once they are unpacked, as the archive says; throws [ArchiveException] for one that it lacks. */
    fun size(paths: Collection<String>): Long = paths.sumOf { entryOf(it).size.coerceAtLeast(0) }

    /**
     * Unpacks files into an empty [folder]; [onProgress] is told the bytes so far, and may throw to stop.
     *
     * Throws [ArchiveException]: a file that is not there or cannot be read, more bytes than the limits allow; and
     * [StoreException]: no room.
     */
    fun unpack(
        paths: Collection<String>,
        folder: File,
        onProgress: (Long) -> Unit = {},
    ) {
        var bytes = 0L
        for (path in paths) {
            val input = reading { zip.getInputStream(entryOf(path)) }
            val before = bytes
            val output = create(File(folder, path))
            input.use { output.use { bytes += copy(input, output, limits.bytes - before) { onProgress(before + it) } } }
        }
    }

    private fun entryOf(path: String): ZipEntry = entries[path] ?: refuse("the file ${quoted(path)}", "none")

    private fun create(file: File): OutputStream = writing { file.parentFile?.mkdirs().let { file.outputStream() } }

    /** The count of bytes, [most] at most. */
    private fun copy(
        input: InputStream,
        output: OutputStream,
        most: Long,
        onProgress: (Long) -> Unit,
    ): Long {
        var bytes = 0L
        val chunk = ByteArray(CHUNK)
        while (true) {
            val count = reading { input.read(chunk) }
            if (count < 0) return bytes
            bytes += count
            if (bytes > most) refuse("$most bytes at most", "more")
            writing { output.write(chunk, 0, count) }
            onProgress(bytes)
        }
    }

    companion object {
        private const val MANIFEST = "manifest.json"
        private const val CHUNK = 1 shl 16

        /**
         * Opens an archive, which the caller closes.
         *
         * Throws [ArchiveException]: not a .zip, a name that leaves the folder or comes twice, more files than the
         * limits allow, no manifest.
         */
        fun open(
            file: File,
            limits: ArchiveLimits = ArchiveLimits(),
        ): BundleArchive {
            val zip = reading { ZipFile(file) }
            try {
                val all = reading { zip.entries().toList() }.filterNot { it.isDirectory }
                if (all.size > limits.files) refuse("${limits.files} files at most", "${all.size}")
                all.forEach { check(it.name) }
                all.groupBy { it.name }.forEach { (name, same) ->
                    if (same.size >
                        1
                    ) {
                        refuse("every file once", quoted(name))
                    }
                }
                val root = rootOf(all.map { it.name })
                val inside = all.filter { it.name.startsWith(root) }
                return BundleArchive(zip, inside.associateBy { it.name.removePrefix(root) }, limits)
            } catch (error: StoreException) {
                zip.close()
                throw error
            }
        }

        private fun check(name: String) {
            val leaves = name.split('/').any { it.isEmpty() || it == "." || it == ".." || '\\' in it || '\u0000' in it }
            if (leaves) refuse("names within the bundle", quoted(name))
        }

        /** What the paths of the uppermost manifest's bundle begin with; empty, or ending with a slash. */
        private fun rootOf(names: List<String>): String {
            val manifests = names.filter { it == MANIFEST || it.endsWith("/$MANIFEST") }
            val depth = manifests.minOfOrNull { path -> path.count { it == '/' } } ?: refuse("a bundle", "no $MANIFEST")
            val uppermost = manifests.filter { path -> path.count { it == '/' } == depth }
            if (uppermost.size > 1) refuse("one bundle", "${uppermost.size}")
            return uppermost.single().removeSuffix(MANIFEST)
        }

        private fun <Value> reading(action: () -> Value): Value =
            try {
                action()
            } catch (error: IOException) {
                refuse("a whole .zip of a bundle", "one that cannot be read", error)
            } catch (error: IllegalArgumentException) {
                refuse("a .zip with names in UTF-8", "another", error)
            }

        private fun <Value> writing(action: () -> Value): Value =
            try {
                action()
            } catch (error: IOException) {
                throw StoreException("archive: expected room for the model, got too little; free some storage", error)
            }

        private fun refuse(
            expected: String,
            got: String,
            cause: Throwable? = null,
        ): Nothing = throw ArchiveException("archive: expected $expected, got $got", cause)
    }
}
