package org.mobilediffusion.core

import java.io.File
import java.io.IOException
import java.security.MessageDigest

/** The files of a bundle, each checked against the manifest before it is used. */
class BundleFiles(
    private val folder: File,
    private val manifest: Manifest,
) {
    /**
     * The file of a path once its size and SHA-256 are the manifest's; the file is read in pieces.
     *
     * Throws [BundleException]: not listed, lost, cut, changed, or reached through a link.
     */
    fun verify(path: String): File {
        val spec = manifest.files[path] ?: damaged(path, "a file that the manifest lists", "another")
        val file = File(folder, path)
        if (isLinked(path)) damaged(path, "a plain file", "a link")
        if (!file.isFile) damaged(path, "a file", "none")
        if (file.length() != spec.size) damaged(path, "${spec.size} bytes", "${file.length()}")
        val digest =
            try {
                sha256(file)
            } catch (error: IOException) {
                damaged(path, "a file that can be read", "an error", error)
            }
        if (digest != spec.sha256) damaged(path, "SHA-256 ${spec.sha256.take(12)}...", "${digest.take(12)}...")
        return file
    }

    /** The text of a file that has been verified. */
    internal fun read(path: String): String = readText(verify(path), "$folder/$path")

    /** Whether a folder of the path, or the file itself, is a link: the path is then not where its folder says. */
    private fun isLinked(path: String): Boolean {
        var place = folder.canonicalFile
        for (part in path.split('/')) {
            place = File(place, part)
            if (place.canonicalFile != place) return true
        }
        return false
    }

    private fun damaged(
        path: String,
        expected: String,
        got: String,
        cause: Throwable? = null,
    ): Nothing =
        throw BundleException(
            "$folder: $path: expected $expected, got $got; the bundle is damaged: export it again",
            cause,
        )

    companion object {
        private const val CHUNK = 1 shl 16

        /** SHA-256 of a file in lower-case hexadecimal; the file is read in pieces. */
        fun sha256(file: File): String {
            val digest = MessageDigest.getInstance("SHA-256")
            val chunk = ByteArray(CHUNK)
            file.inputStream().use { stream ->
                var count = stream.read(chunk)
                while (count >= 0) {
                    digest.update(chunk, 0, count)
                    count = stream.read(chunk)
                }
            }
            return hexadecimal(digest.digest())
        }

        private fun hexadecimal(bytes: ByteArray): String =
            bytes.joinToString("") { (it.toInt() and 0xFF).toString(16).padStart(2, '0') }
    }
}
