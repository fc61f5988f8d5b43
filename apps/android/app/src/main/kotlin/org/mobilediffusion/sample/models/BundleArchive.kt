package org.mobilediffusion.sample.models

import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.quoted
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.util.zip.ZipEntry
import java.util.zip.ZipInputStream

/** The most that an archive may unpack to. */
data class ArchiveLimits(
    val files: Int = 10_000,
    val bytes: Long = 8L shl 30,
)

/** Unpacks a bundle's .zip: the files themselves, or one folder that holds them. */
class BundleArchive(
    private val limits: ArchiveLimits = ArchiveLimits(),
) {
    /**
     * Unpacks into an empty [folder] and gives the folder with the manifest; [onProgress] is told the bytes so far, and
     * may throw to stop.
     *
     * Throws [StoreException]: not a .zip, a name that leaves the folder or comes twice, more than the limits allow, no
     * manifest, no room.
     */
    fun unpack(
        archive: InputStream,
        folder: File,
        onProgress: (Long) -> Unit = {},
    ): File {
        var files = 0
        var bytes = 0L
        val input = ZipInputStream(archive)
        while (true) {
            val entry = next(input) ?: break
            if (entry.isDirectory) continue
            if (++files > limits.files) refuse("${limits.files} files at most", "more")
            val file = placeOf(entry.name, folder)
            bytes = create(file).use { copy(input, it, bytes, onProgress) }
        }
        if (files == 0) refuse("a .zip of a bundle", "something else")
        return rootOf(folder)
    }

    private fun next(input: ZipInputStream): ZipEntry? = reading { input.nextEntry }

    private fun placeOf(
        name: String,
        folder: File,
    ): File {
        val parts = name.split('/')
        val leaves = parts.any { it.isEmpty() || it == "." || it == ".." || '\\' in it || '\u0000' in it }
        if (leaves) refuse("names within the bundle", quoted(name))
        val file = File(folder, name)
        if (!file.canonicalPath.startsWith(folder.canonicalPath + File.separator)) refuse("names within it", "a link")
        if (file.exists()) refuse("every file once", "${quoted(name)} twice")
        return file
    }

    private fun create(file: File): OutputStream = writing { file.parentFile?.mkdirs().let { file.outputStream() } }

    /** The count of bytes so far, those of this file included. */
    private fun copy(
        input: InputStream,
        output: OutputStream,
        before: Long,
        onProgress: (Long) -> Unit,
    ): Long {
        var bytes = before
        val chunk = ByteArray(CHUNK)
        while (true) {
            val count = reading { input.read(chunk) }
            if (count < 0) return bytes
            bytes += count
            if (bytes > limits.bytes) refuse("${limits.bytes} bytes at most", "more")
            writing { output.write(chunk, 0, count) }
            onProgress(bytes)
        }
    }

    private fun rootOf(folder: File): File {
        if (File(folder, MANIFEST).isFile) return folder
        val only = folder.listFiles().orEmpty().singleOrNull { it.isDirectory && File(it, MANIFEST).isFile }
        return only ?: refuse("a bundle", "files without $MANIFEST")
    }

    private fun <Value> reading(action: () -> Value): Value =
        try {
            action()
        } catch (error: IOException) {
            refuse("a whole .zip", "one that cannot be read", error)
        } catch (error: IllegalArgumentException) {
            refuse("a .zip with names in UTF-8", "another", error)
        }

    private fun <Value> writing(action: () -> Value): Value =
        try {
            action()
        } catch (error: IOException) {
            refuse("room for the model", "too little; free some storage", error)
        }

    private fun refuse(
        expected: String,
        got: String,
        cause: Throwable? = null,
    ): Nothing = throw StoreException("archive: expected $expected, got $got", cause)

    private companion object {
        const val MANIFEST = "manifest.json"
        const val CHUNK = 1 shl 16
    }
}
