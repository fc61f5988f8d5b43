package org.mobilediffusion.sample.models

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.mobilediffusion.core.BundleException
import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.lineOf
import java.io.File
import java.io.IOException
import java.io.InputStream

/** How far the addition of a model is. */
sealed interface InstallState {
    /** Whether something is under way that can be cancelled. */
    val isBusy: Boolean get() = this is Downloading || this is Copying || this is Unpacking

    data object Idle : InstallState

    /** Bytes that have arrived, of a total that may be unknown. */
    data class Downloading(
        val bytes: Long,
        val total: Long?,
    ) : InstallState

    /** Bytes of a file from elsewhere that are in this app's storage. */
    data class Copying(
        val bytes: Long,
    ) : InstallState

    /** Bytes that have been unpacked. */
    data class Unpacking(
        val bytes: Long,
    ) : InstallState

    data class Done(
        val model: String,
    ) : InstallState

    data class Failed(
        val line: String,
    ) : InstallState
}

/** Adds models to the store, one at a time, from a stream or from the network. */
class Installer(
    private val models: ModelStore,
    /** Where files wait until they are installed. */
    private val waiting: File,
    private val scope: CoroutineScope,
    /** Whether a model may come from a computer in the local network without TLS. */
    private val plain: Boolean = false,
) {
    private val current = MutableStateFlow<InstallState>(InstallState.Idle)
    private var job: Job? = null

    val state: StateFlow<InstallState> = current.asStateFlow()

    /** Adds the bundle of a .zip that [open] opens; it is copied first, because a .zip is read from its end. */
    fun add(open: () -> InputStream) =
        begin(InstallState.Copying(0)) {
            val file = File(waiting, COPY)
            try {
                withContext(Dispatchers.IO) { open().use { copy(it, file) { ensureActive() } } }
                install(file)
            } finally {
                file.delete()
            }
        }

    /**
     * Adds the bundle of a .zip at an address, if it has the hash.
     *
     * What has arrived stays until it is installed: a name that is taken, storage that is full or a cancellation costs
     * no second download.  Only what can never be installed is removed.
     */
    fun download(
        address: String,
        sha256: String,
    ) = begin(InstallState.Downloading(0, null)) {
        val download = Download.of(address, sha256, waiting, plain)
        val file = download.fetch { bytes, total -> current.value = InstallState.Downloading(bytes, total) }
        try {
            install(file).also { file.delete() }
        } catch (error: ArchiveException) {
            file.delete()
            throw error
        } catch (error: BundleException) {
            file.delete()
            throw error
        }
    }

    /** Stops; a download resumes from there when it is started again. */
    fun cancel() {
        job?.cancel()
    }

    private fun begin(
        first: InstallState,
        action: suspend () -> String,
    ) {
        if (job?.isActive == true) return
        current.value = first
        job = scope.launch { current.value = outcome(action) }
    }

    private suspend fun outcome(action: suspend () -> String): InstallState =
        try {
            InstallState.Done(action())
        } catch (error: CancellationException) {
            current.value = InstallState.Idle
            throw error
        } catch (error: Throwable) {
            InstallState.Failed(lineOf(error))
        }

    private suspend fun install(file: File): String =
        withContext(Dispatchers.IO) {
            models.install(file) { bytes ->
                ensureActive()
                current.value = InstallState.Unpacking(bytes)
            }
        }

    private fun copy(
        input: InputStream,
        file: File,
        onChunk: () -> Unit,
    ) {
        if (!waiting.isDirectory && !waiting.mkdirs()) throw StoreException("$waiting: expected a place, got none")
        val chunk = ByteArray(CHUNK)
        var bytes = 0L
        file.outputStream().use { output ->
            while (true) {
                onChunk()
                val count = input.read(chunk)
                if (count < 0) return
                try {
                    output.write(chunk, 0, count)
                } catch (error: IOException) {
                    throw StoreException("expected room for a copy, got too little; free some storage", error)
                }
                bytes += count
                current.value = InstallState.Copying(bytes)
            }
        }
    }

    private companion object {
        const val CHUNK = 1 shl 16

        /** The copy of a file from elsewhere; a download's name is its hash. */
        const val COPY = "picked.zip"
    }
}
