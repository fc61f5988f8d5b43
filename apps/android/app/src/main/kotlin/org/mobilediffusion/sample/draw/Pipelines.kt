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

/**
 * The one pipeline that is open, and whose turn it is: what draws or measures has it alone until it has ended.
 *
 * To open another gives the memory of the one before back for good.
 */
class Pipelines(
    private val models: ModelStore,
    private val verdicts: Verdicts,
    private val memoryOf: (ModelBundle) -> MemoryPolicy,
    private val runnerOf: (ModelBundle, Int) -> ModelRunner,
) {
    private class Opened(
        val model: String,
        val threads: Int,
        /** Of its manifest, which names the hash of every file. */
        val hash: String,
        val runtime: String?,
        val pipeline: Pipeline,
    )

    private val turn = Mutex()

    @Volatile
    private var opened: Opened? = null

    /**
     * What [action] gives with the pipeline of a model on [threads] threads, which nothing else has meanwhile.
     *
     * It runs [runtime], or else the first that a comparison with PyTorch has passed, or else the bundle's choice.
     * [onTurn] is told true when it has to wait, and false when its turn has come.  Every file is verified when the
     * model is opened, and when it was replaced since.  Throws as the store.
     */
    suspend fun <Value> use(
        model: String,
        threads: Int,
        onTurn: (Boolean) -> Unit = {},
        runtime: String? = null,
        action: suspend (Pipeline) -> Value,
    ): Value {
        if (turn.isLocked) onTurn(true)
        return turn.withLock {
            onTurn(false)
            action(open(model, threads, runtime))
        }
    }

    /** Forgets a model that is deleted, as soon as nothing draws or measures. */
    suspend fun close(model: String) = turn.withLock { if (opened?.model == model) release() }

    /** Gives all memory back; what is drawn loads it again. */
    suspend fun unload() {
        opened?.pipeline?.unload()
    }

    private suspend fun open(
        model: String,
        threads: Int,
        asked: String?,
    ): Pipeline {
        val hash = withContext(Dispatchers.IO) { models.hash(model) }
        val runtime = asked ?: withContext(Dispatchers.IO) { verdicts.preferred(model, hash) }
        val same: (Opened) -> Boolean = { it.model == model && it.threads == threads && it.hash == hash }
        opened?.takeIf { same(it) && it.runtime == runtime }?.let { return it.pipeline }
        release()
        val bundle = withContext(Dispatchers.IO) { models.open(model, runtime) }
        val pipeline = Pipeline(bundle, runnerOf(bundle, threads), memoryOf(bundle))
        opened = Opened(model, threads, hash, runtime, pipeline)
        return pipeline
    }

    private suspend fun release() {
        opened?.pipeline?.close()
        opened = null
    }
}
