package org.mobilediffusion.core

import kotlinx.coroutines.CancellationException

/** The stages of a runner that are loaded.  Not safe for threads: the [Pipeline] lets one call in at a time. */
internal class StageMemory(
    private val manifest: Manifest,
    private val runner: ModelRunner,
    private val policy: MemoryPolicy,
) {
    private val loaded = LinkedHashSet<Stage>()
    private var isClosed = false

    fun isLoaded(stage: Stage): Boolean = stage in loaded

    /** Loads a stage unless it is loaded; what the policy does not keep is unloaded first. */
    fun load(stage: Stage) {
        if (isClosed) throw ModelException("${stage.id}: expected an open model, got one that was closed; draw again")
        if (stage in loaded) return
        if (policy == MemoryPolicy.SEQUENTIAL) unload()
        loaded += stage // before it is: a load that fails half-way is undone, too
        guarded(stage) { runner.load(stage) }
    }

    /** The outputs of a stage, which is loaded if need be; they are checked against the manifest. */
    fun run(
        stage: Stage,
        inputs: Map<String, TensorValue>,
    ): Map<String, TensorValue.Floats> {
        load(stage)
        return guarded(stage) { runner.run(stage, inputs).also { check(stage, it) } }
    }

    /** Unloads every stage. */
    fun unload() {
        loaded.toList().forEach {
            loaded -= it
            runner.unload(it)
        }
    }

    /** Unloads every stage, and refuses to load one again. */
    fun close() {
        isClosed = true
        unload()
    }

    /** What an action gives; when it fails, all memory is given back, and the failure is one line. */
    private inline fun <Value> guarded(
        stage: Stage,
        action: () -> Value,
    ): Value {
        try {
            return action()
        } catch (error: CancellationException) {
            throw error
        } catch (error: Exception) {
            unload()
            throw error as? DiffusionException ?: failure(stage, error)
        } catch (error: OutOfMemoryError) {
            unload()
            throw ModelException(
                "${stage.id}: expected enough memory, got none: free some, or hold one stage in memory at a time",
                error,
            )
        } catch (error: LinkageError) {
            unload()
            throw ModelException(
                "${stage.id}: expected the runtime's library in this app, got none: ${quote(error.toString())}; " +
                    "build the app with Gradle",
                error,
            )
        }
    }

    private fun failure(
        stage: Stage,
        error: Exception,
    ) = ModelException(
        "${stage.id}: expected outputs, got an error: ${quote(error.message ?: error.toString())}",
        error,
    )

    private fun check(
        stage: Stage,
        outputs: Map<String, TensorValue.Floats>,
    ) {
        for (spec in manifest.stage(stage)?.outputs.orEmpty()) {
            val shape = outputs[spec.name]?.shape
            if (shape == spec.shape) continue
            throw ModelException("${stage.id}: expected ${spec.name} of shape ${spec.shape}, got ${shape ?: "none"}")
        }
    }
}
