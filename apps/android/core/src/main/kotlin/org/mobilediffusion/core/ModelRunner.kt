package org.mobilediffusion.core

/**
 * Runs the programs of one opened bundle.
 *
 * Calls block, and come one at a time from the threads of the [Pipeline]'s dispatcher.  Each may throw [ModelException],
 * or OutOfMemoryError.
 */
interface ModelRunner {
    /** Brings a stage into memory, its weights packed. */
    fun load(stage: Stage)

    /** Gives a stage's memory back; nothing happens when it is not loaded, and nothing is thrown. */
    fun unload(stage: Stage)

    /** The outputs of a loaded stage by name; [inputs] are exactly those that the manifest names. */
    fun run(
        stage: Stage,
        inputs: Map<String, TensorValue>,
    ): Map<String, TensorValue.Floats>
}
