package org.mobilediffusion.sample.models

import com.sun.net.httpserver.HttpServer
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.mobilediffusion.sample.inFolder
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.InputStream
import java.net.InetAddress
import java.net.InetSocketAddress
import java.security.MessageDigest
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertTrue

/** What the models screen does, on a real bundle; its outcome is always a state, and nothing stays busy. */
class InstallerTest {
    private val bundle = File(checkNotNull(System.getProperty("bundle")) { "expected -Dbundle=FOLDER, got none" })
    private val zip = zipOfBundle(bundle)
    private val hash = MessageDigest.getInstance("SHA-256").digest(zip).joinToString("") { "%02x".format(it) }

    private class App(
        val folder: File,
    ) {
        val models = ModelStore(File(folder, "models"))
        val installer = Installer(models, File(folder, "downloads"), CoroutineScope(Dispatchers.Default), plain = true)
        val downloads get() = File(folder, "downloads").list().orEmpty().toList()

        fun outcome(action: (Installer) -> Unit): InstallState {
            action(installer)
            return runBlocking { withTimeout(60_000) { installer.state.first { !it.isBusy } } }
        }

        fun refusal(action: (Installer) -> Unit): String {
            val line = assertIs<InstallState.Failed>(outcome(action)).line
            assertTrue(line.isNotEmpty() && '\n' !in line, line)
            return line
        }
    }

    private fun withApp(action: (App) -> Unit) = inFolder { action(App(it)) }

    @Test
    fun `a picked file is installed, and its copy removed`() =
        withApp { app ->
            val done = assertIs<InstallState.Done>(app.outcome { it.add(zip::inputStream) })
            assertEquals(listOf(done.model), app.models.names())
            assertEquals(emptyList(), app.downloads)
        }

    @Test
    fun `a download whose name is taken is asked for no second time`() =
        withApp { app ->
            val name = app.models.install(File(app.folder, "first.zip").apply { writeBytes(zip) })
            served { address, asked ->
                assertTrue("delete it first" in app.refusal { it.download(address, hash) })
                assertEquals(listOf("$hash.zip"), app.downloads)
                app.models.delete(name)
                assertIs<InstallState.Done>(app.outcome { it.download(address, hash) })
                assertEquals(1, asked())
                assertEquals(emptyList(), app.downloads)
            }
        }

    @Test
    fun `a file that can never be installed does not stay`() =
        withApp { app ->
            val other = "no bundle".toByteArray()
            val its = MessageDigest.getInstance("SHA-256").digest(other).joinToString("") { "%02x".format(it) }
            served(other) { address, _ -> assertTrue("archive" in app.refusal { it.download(address, its) }) }
            assertEquals(emptyList(), app.downloads)
        }

    @Test
    fun `whatever is thrown is one line`() =
        withApp { app ->
            val denied: () -> InputStream = { throw SecurityException("Permission Denial") }
            assertTrue("may read" in app.refusal { it.add(denied) })
            assertTrue("got NoClassDefFoundError" in app.refusal { it.add { throw NoClassDefFoundError("a\nb") } })
            assertTrue("address" in app.refusal { it.download("http://127.0.0.1:99999/m.zip", hash) })
            assertEquals(emptyList(), app.downloads)
        }

    private fun served(
        bytes: ByteArray = zip,
        action: (String, () -> Int) -> Unit,
    ) {
        var asked = 0
        val server = HttpServer.create(InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0)
        server.createContext("/") {
            asked++
            it.sendResponseHeaders(200, bytes.size.toLong())
            it.responseBody.write(bytes)
            it.close()
        }
        server.start()
        try {
            action("http://${server.address.hostString}:${server.address.port}/model.zip") { asked }
        } finally {
            server.stop(0)
        }
    }
}

/** A folder's files as an archive; one of them damaged if asked for. */
fun zipOfBundle(
    bundle: File,
    damaged: String? = null,
): ByteArray {
    val bytes = ByteArrayOutputStream()
    ZipOutputStream(bytes).use { zip ->
        for (file in bundle.walk().filter { it.isFile }) {
            zip.putNextEntry(ZipEntry(file.relativeTo(bundle).path))
            val content = file.readBytes()
            if (file.name == damaged) content[content.size / 2]++
            zip.write(content)
        }
    }
    return bytes.toByteArray()
}
