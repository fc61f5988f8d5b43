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
import org.mobilediffusion.core.DiffusionException
import org.mobilediffusion.sample.StoreException
import java.io.File
import java.io.IOException
import java.io.InputStream

/** How far the addition of a model is. */
sealed interface InstallState {
    data object Idle : InstallState

    /** Bytes that have arrived, of a total that may be unknown. */
    data class Downloading(
        val bytes: Long,
        val total: Long?,
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
    /** Where downloads wait until they are whole. */
    private val downloads: File,
    private val scope: CoroutineScope,
) {
    private val current = MutableStateFlow<InstallState>(InstallState.Idle)
    private var job: Job? = null

    val state: StateFlow<InstallState> = current.asStateFlow()

    /** Adds the bundle of a .zip that [open] opens. */
    fun add(open: () -> InputStream) = begin(InstallState.Unpacking(0)) { install(open) }

    /** Adds the bundle of a .zip at an address, if it has the hash. */
    fun download(
        address: String,
        sha256: String,
    ) = begin(InstallState.Downloading(0, null)) {
        val download = Download.of(address, sha256, downloads)
        val file = download.fetch { bytes, total -> current.value = InstallState.Downloading(bytes, total) }
        try {
            install(file::inputStream)
        } finally {
            file.delete()
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
        } catch (error: DiffusionException) {
            InstallState.Failed(error.message.orEmpty())
        } catch (error: StoreException) {
            InstallState.Failed(error.message.orEmpty())
        } catch (error: IOException) {
            InstallState.Failed("expected a file that can be read, got an error: ${error.message}")
        }

    private suspend fun install(open: () -> InputStream): String =
        withContext(Dispatchers.IO) {
            open().use { stream ->
                models.install(stream) { bytes ->
                    ensureActive()
                    current.value = InstallState.Unpacking(bytes)
                }
            }
        }
}
