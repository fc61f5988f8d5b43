package org.mobilediffusion.core

import java.util.Collections
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** Compares each call with a recorded one, and returns the recorded outputs; [before] is told what comes. */
internal class ReplayRunner(
    private val trajectory: Trajectory,
    private val before: (String) -> Unit = {},
) : ModelRunner {
    /** "load denoise" and so on, in order. */
    val log: MutableList<String> = Collections.synchronizedList(ArrayList())
    val threads: MutableSet<Thread> = Collections.synchronizedSet(HashSet())

    @Volatile
    var loaded = setOf<Stage>()
        private set
    private var next = 0

    override fun load(stage: Stage) {
        note("load ${stage.id}")
        assertTrue(stage !in loaded, "$stage is loaded twice")
        loaded += stage
    }

    override fun unload(stage: Stage) {
        log += "unload ${stage.id}"
        loaded -= stage
    }

    override fun run(
        stage: Stage,
        inputs: Map<String, TensorValue>,
    ): Map<String, TensorValue.Floats> {
        note("run ${stage.id}")
        assertTrue(stage in loaded, "$stage is run before it is loaded")
        val call = trajectory.calls[next++ % trajectory.calls.size]
        assertEquals(call["stage"].text, stage.id)
        val recorded = (call["inputs"] as JsonObject).fields
        assertEquals(recorded.keys, inputs.keys, "inputs of call $next")
        for ((name, value) in recorded) {
            val given = inputs.getValue(name)
            assertEquals(value["shape"].ints, given.shape, "shape of $name of call $next")
            assertEquals(value["dtype"].text == "float32", given is TensorValue.Floats, "type of $name of call $next")
            assertEquals(value["sha256"].text, sha256(given), "$name of call $next")
        }
        return (call["outputs"] as JsonObject).fields.mapValues { floatsOf(it.value) }
    }

    /** The next call is the recording's first. */
    fun rewind() {
        next = 0
    }

    private fun note(event: String) {
        threads += Thread.currentThread()
        log += event
        before(event)
    }
}
