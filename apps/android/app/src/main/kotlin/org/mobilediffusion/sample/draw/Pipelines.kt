package org.mobilediffusion.sample.draw

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext
import org.mobilediffusion.core.MemoryPolicy
import org.mobilediffusion.core.ModelBundle
import org.mobilediffusion.core.ModelRunner
import org.mobilediffusion.core.Pipeline
import org.mobilediffusion.sample.models.ModelStore

/** The one pipeline that is open: to open another gives the memory of the one before back. */
class Pipelines(
    private val models: ModelStore,
    private val memory: MemoryPolicy,
    private val runnerOf: (ModelBundle, Int) -> ModelRunner,
) {
    private class Opened(
        val model: String,
        val threads: Int,
        val pipeline: Pipeline,
    )

    private val access = Mutex()
    private var opened: Opened? = null

    /** The pipeline of a model with [threads] threads; every file is verified when it is opened.  Throws as the store. */
    suspend fun open(
        model: String,
        threads: Int,
    ): Pipeline =
        access.withLock {
            opened?.takeIf { it.model == model && it.threads == threads }?.let { return it.pipeline }
            release()
            val bundle = withContext(Dispatchers.IO) { models.open(model) }
            val pipeline = Pipeline(bundle, runnerOf(bundle, threads), memory)
            opened = Opened(model, threads, pipeline)
            pipeline
        }

    /** Forgets a model that is deleted. */
    suspend fun close(model: String) = access.withLock { if (opened?.model == model) release() }

    /** Gives all memory back; what is drawn loads it again. */
    suspend fun unload() {
        opened?.pipeline?.unload()
    }

    private suspend fun release() {
        opened?.pipeline?.unload()
        opened = null
    }
}
