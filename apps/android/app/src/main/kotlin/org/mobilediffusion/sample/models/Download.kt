package org.mobilediffusion.sample.models

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.withContext
import org.mobilediffusion.core.BundleFiles
import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.quoted
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.net.HttpURLConnection
import java.net.MalformedURLException
import java.net.URL
import kotlin.coroutines.coroutineContext

/**
 * A file from the network that is used only if its hash is the expected one.
 *
 * What has arrived stays when the connection or the app ends, and the next [fetch] of the same hash resumes there.
 */
class Download private constructor(
    private val url: URL,
    private val sha256: String,
    private val folder: File,
) {
    private val part = File(folder, "$sha256.part")

    /** Has been compared with its hash. */
    private val whole = File(folder, "$sha256.zip")

    /**
     * The file, which the caller removes, and which is asked for no second time until then; [onProgress] is told the bytes that are here and, if the server says it, how
     * many there will be.  Cancellation is noticed between two reads.  Throws [StoreException].
     */
    suspend fun fetch(onProgress: (Long, Long?) -> Unit = { _, _ -> }): File =
        withContext(Dispatchers.IO) {
            if (!folder.isDirectory && !folder.mkdirs()) fail("a place that can be written", "another")
            if (whole.isFile) return@withContext whole
            try {
                if (!receive(onProgress)) receive(onProgress)
            } catch (error: IOException) {
                fail("the whole file", "an interruption: ${error.message}; start it again to resume", error)
            }
            val found = BundleFiles.sha256(part)
            if (found == sha256 && part.renameTo(whole)) return@withContext whole
            part.delete()
            fail("SHA-256 ${sha256.take(12)}...", "${found.take(12)}...; check the address and the hash")
        }

    /** False when what is here does not fit what the server has: it is removed, and all must be asked for. */
    private suspend fun receive(onProgress: (Long, Long?) -> Unit): Boolean {
        val here = part.length()
        val connection = url.openConnection() as HttpURLConnection
        connection.connectTimeout = TIMEOUT
        connection.readTimeout = TIMEOUT
        connection.setRequestProperty("Accept-Encoding", "identity")
        if (here > 0) connection.setRequestProperty("Range", "bytes=$here-")
        try {
            val status = connection.responseCode
            if (here > 0 && hasAll(connection, status, here)) return true
            if (here > 0 && status == RANGE_REFUSED) return !part.delete()
            if (status != HttpURLConnection.HTTP_OK && status != HttpURLConnection.HTTP_PARTIAL) {
                fail("the file", "status $status from the server; check the address")
            }
            val goesOn = status == HttpURLConnection.HTTP_PARTIAL
            if (goesOn && startOf(connection) != here) return !part.delete()
            append(connection, if (goesOn) here else 0, onProgress)
            return true
        } finally {
            connection.disconnect()
        }
    }

    /** Whether a server with nothing to add, or with a file of the same length, has what is here already. */
    private fun hasAll(
        connection: HttpURLConnection,
        status: Int,
        here: Long,
    ): Boolean {
        val same = status == HttpURLConnection.HTTP_OK && connection.getHeaderField("Content-Length") == "$here"
        return (status == RANGE_REFUSED || same) && BundleFiles.sha256(part) == sha256
    }

    private suspend fun append(
        connection: HttpURLConnection,
        start: Long,
        onProgress: (Long, Long?) -> Unit,
    ) {
        val length = connection.getHeaderField("Content-Length")?.toLongOrNull()
        val total = length?.let { it + start }
        if (total != null && total > LARGEST) fail("$LARGEST bytes at most", "$total")
        val free = folder.usableSpace
        if (length != null && length > free) {
            fail("${length / MEGABYTE} MB of free storage", "${free / MEGABYTE} MB; free some")
        }
        var bytes = start
        FileOutputStream(part, start > 0).use { output ->
            val chunk = ByteArray(CHUNK)
            connection.inputStream.use { input ->
                while (true) {
                    coroutineContext.ensureActive()
                    val count = input.read(chunk)
                    if (count < 0) break
                    bytes += count
                    if (bytes > LARGEST) fail("$LARGEST bytes at most", "more")
                    output.write(chunk, 0, count)
                    onProgress(bytes, total)
                }
            }
        }
        if (total != null && bytes < total) throw IOException("$bytes of $total bytes")
    }

    /** The first byte of "bytes 10-99/100". */
    private fun startOf(connection: HttpURLConnection): Long? =
        connection
            .getHeaderField("Content-Range")
            ?.removePrefix("bytes ")
            ?.substringBefore('-')
            ?.toLongOrNull()

    private fun fail(
        expected: String,
        got: String,
        cause: Throwable? = null,
    ): Nothing = throw StoreException("$url: expected $expected, got $got", cause)

    companion object {
        private const val CHUNK = 1 shl 16
        private const val LARGEST = 8L shl 30
        private const val RANGE_REFUSED = 416
        private const val MEGABYTE = 1_000_000
        private const val LAST_PORT = 65_535

        /** Milliseconds without a byte. */
        private const val TIMEOUT = 20_000

        /** Loopback, an emulator's computer, and the address ranges of local networks (RFC 1918, RFC 3927). */
        private val local =
            Regex(
                """(127|10)(\.\d{1,3}){3}|192\.168(\.\d{1,3}){2}|169\.254(\.\d{1,3}){2}|172\.(1[6-9]|2\d|3[01])(\.\d{1,3}){2}""",
            )

        /** Whether an address without TLS is that of a computer nearby; a name is looked up nowhere for that. */
        internal fun isLocal(host: String): Boolean =
            host == "localhost" || host == "[::1]" || host.endsWith(".local") || local.matches(host)

        private val hash = Regex("[0-9a-f]{64}")

        /**
         * Throws [StoreException] unless the address is one of https, or with [plain] one of http in the local network,
         * and the hash 64 hexadecimal digits.
         */
        fun of(
            address: String,
            sha256: String,
            folder: File,
            plain: Boolean = false,
        ): Download {
            val url =
                try {
                    URL(address.trim())
                } catch (_: MalformedURLException) {
                    null
                }
            val isWeb = url != null && url.protocol in listOf("http", "https") && url.host.isNotEmpty()
            if (url == null || !isWeb || url.port > LAST_PORT) {
                throw StoreException("address: expected one that begins with https://, got ${quoted(address)}")
            }
            if (url.protocol == "http" && !(plain && isLocal(url.host))) {
                val fix = if (plain) "or a computer's in the local network" else "or a debug build of the app"
                throw StoreException("address: expected one that begins with https://, $fix, got ${quoted(address)}")
            }
            val digits = sha256.trim().map { if (it in 'A'..'F') it + 32 else it }.joinToString("")
            if (!hash.matches(digits)) {
                throw StoreException("SHA-256: expected 64 digits 0-9 a-f, got ${digits.length}; sha256sum prints them")
            }
            return Download(url, digits, folder)
        }
    }
}
