package org.mobilediffusion.sample.models

import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.cancel
import kotlinx.coroutines.runBlocking
import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.inFolder
import java.io.File
import java.net.InetAddress
import java.net.InetSocketAddress
import java.security.MessageDigest
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class DownloadTest {
    private val content = ByteArray(300_000) { (it * 31 + it / 256).toByte() }
    private val hash = hexadecimal(MessageDigest.getInstance("SHA-256").digest(content))
    private val ranges = ArrayList<String?>()

    @Test
    fun `without TLS only a computer nearby is asked, by a debug build`() =
        inFolder { folder ->
            val near =
                listOf(
                    "localhost",
                    "127.0.0.1",
                    "192.168.1.20",
                    "10.0.2.2",
                    "172.31.0.9",
                    "169.254.1.1",
                    "my-mac.local",
                )
            for (host in near) Download.of("http://$host:8000/a.zip", hash, folder, plain = true)
            val far =
                listOf("example.com", "192.169.1.1", "172.32.0.1", "8.8.8.8", "10.evil.com", "192.168.1.1.evil.com")
            for (host in far) {
                val line =
                    assertFailsWith<StoreException> { Download.of("http://$host/a.zip", hash, folder, plain = true) }
                assertTrue("expected one that begins with https://, or a computer's" in line.message!!, line.message)
                Download.of("https://$host/a.zip", hash, folder)
            }
            val line = assertFailsWith<StoreException> { Download.of("http://127.0.0.1/a.zip", hash, folder) }
            assertTrue("or a debug build of the app" in line.message!!, line.message)
        }

    @Test
    fun `a file arrives whole`() =
        served(::serve) { address, folder ->
            var seen = 0L to 0L as Long?
            val file = fetch(address, folder) { bytes, total -> seen = bytes to total }
            assertContentEquals(content, file.readBytes())
            assertEquals(300_000L to 300_000L, seen)
        }

    @Test
    fun `an interrupted download resumes where it stopped`() =
        served(::serve) { address, folder ->
            File(folder, "$hash.part").writeBytes(content.copyOf(120_000))
            assertContentEquals(content, fetch(address, folder).readBytes())
            assertEquals(listOf<String?>("bytes=120000-"), ranges)
        }

    @Test
    fun `what is whole is asked for no second time`() =
        served(::serve) { address, folder ->
            File(folder, "$hash.part").writeBytes(content) // the app was ended before it was unpacked
            assertContentEquals(content, fetch(address, folder).readBytes())
            assertEquals(listOf<String?>("bytes=300000-"), ranges) // and the server had nothing to send
            assertContentEquals(content, fetch("http://127.0.0.1:1/model.zip", folder).readBytes())
        }

    @Test
    fun `what is whole stays when a server knows no ranges`() =
        served({ if (it.requestMethod == "GET") send(it, 200, content) }) { address, folder ->
            val part = File(folder, "$hash.part").apply { writeBytes(content) }
            val written = part.lastModified()
            assertEquals(written, fetch(address, folder).lastModified())
        }

    @Test
    fun `a server without ranges sends all again`() =
        served({ send(it, 200, content) }) { address, folder ->
            File(folder, "$hash.part").writeBytes(content.copyOf(120_000))
            assertContentEquals(content, fetch(address, folder).readBytes())
        }

    @Test
    fun `more than the server has is asked for again`() =
        served(::serve) { address, folder ->
            File(folder, "$hash.part").writeBytes(content + content)
            assertContentEquals(content, fetch(address, folder).readBytes())
            assertEquals(listOf("bytes=600000-", null), ranges)
        }

    @Test
    fun `a connection that breaks leaves what has arrived`() =
        served({ half(it) }) { address, folder ->
            val line = assertFailsWith<StoreException> { fetch(address, folder) }.message!!
            assertTrue("start it again to resume" in line && '\n' !in line, line)
            assertTrue(File(folder, "$hash.part").length() in 1L until 300_000L)
        }

    @Test
    fun `another file than the hash says is removed`() =
        served({ send(it, 200, content.reversedArray()) }) { address, folder ->
            val line = assertFailsWith<StoreException> { fetch(address, folder) }.message!!
            assertTrue("expected SHA-256 ${hash.take(12)}" in line, line)
            assertFalse(File(folder, "$hash.part").exists())
        }

    @Test
    fun `a cancelled download resumes later`() =
        served(::serve) { address, folder ->
            assertFailsWith<CancellationException> {
                runBlocking {
                    Download.of(address, hash, folder, plain = true).fetch {
                        _,
                        _,
                        ->
                        this@runBlocking.cancel()
                    }
                }
            }
            assertTrue(File(folder, "$hash.part").length() in 1L until 300_000L)
            assertContentEquals(content, fetch(address, folder).readBytes())
        }

    @Test
    fun `a server's refusal is one line`() =
        served({ send(it, 404, ByteArray(0)) }) { address, folder ->
            assertTrue("status 404" in assertFailsWith<StoreException> { fetch(address, folder) }.message!!)
        }

    @Test
    fun `addresses and hashes that make no sense are refused`() {
        val place = File("nowhere")
        for (address in listOf(
            "",
            "a.zip",
            "file:///etc/passwd",
            "ftp://host/a",
            "https://",
            "jar:file:/a!/b",
            "http://a:99999/b",
        )) {
            assertFailsWith<StoreException>(address) { Download.of(address, hash, place) }
        }
        for (wrong in listOf("", "abc", hash + "0", "../" + hash.drop(3), "ı".repeat(64))) {
            assertFailsWith<StoreException>(wrong) { Download.of("https://host/a.zip", wrong, place) }
        }
        Download.of(" https://host/a.zip ", hash.map { it.uppercaseChar() }.joinToString(""), place)
    }

    private fun fetch(
        address: String,
        folder: File,
        onProgress: (Long, Long?) -> Unit = { _, _ -> },
    ): File = runBlocking { Download.of(address, hash, folder, plain = true).fetch(onProgress) }

    /** A server that knows ranges. */
    private fun serve(exchange: HttpExchange) {
        val range = exchange.requestHeaders.getFirst("Range").also(ranges::add) ?: return send(exchange, 200, content)
        val start = range.removePrefix("bytes=").removeSuffix("-").toInt()
        if (start >= content.size) return send(exchange, 416, ByteArray(0))
        exchange.responseHeaders.add("Content-Range", "bytes $start-${content.size - 1}/${content.size}")
        send(exchange, 206, content.copyOfRange(start, content.size))
    }

    private fun send(
        exchange: HttpExchange,
        status: Int,
        body: ByteArray,
    ) = exchange.use {
        it.sendResponseHeaders(status, if (body.isEmpty()) -1 else body.size.toLong())
        it.responseBody.write(body)
    }

    private fun half(exchange: HttpExchange) {
        exchange.sendResponseHeaders(200, content.size.toLong())
        exchange.responseBody.write(content, 0, content.size / 2)
        exchange.responseBody.flush()
        throw IllegalStateException("the connection breaks")
    }

    private fun served(
        handler: (HttpExchange) -> Unit,
        action: (String, File) -> Unit,
    ) = inFolder { folder ->
        val server = HttpServer.create(InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0)
        server.createContext("/", handler)
        server.start()
        try {
            action("http://${server.address.hostString}:${server.address.port}/model.zip", folder)
        } finally {
            server.stop(0)
        }
    }

    private fun hexadecimal(bytes: ByteArray) =
        bytes.joinToString("") { (it.toInt() and 0xFF).toString(16).padStart(2, '0') }
}
