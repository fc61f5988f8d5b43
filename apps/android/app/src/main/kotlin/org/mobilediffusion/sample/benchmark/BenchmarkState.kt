package org.mobilediffusion.sample.benchmark

import org.mobilediffusion.core.LatencyReport
import org.mobilediffusion.core.Stage

/** How far a measurement is. */
sealed interface BenchmarkState {
    data object Idle : BenchmarkState

    data class Running(
        val model: String,
        /** Null until the first stage is timed. */
        val stage: Stage? = null,
        /** Whether something else draws, which has to end first. */
        val waits: Boolean = false,
    ) : BenchmarkState

    data class Done(
        val model: String,
        val report: LatencyReport,
    ) : BenchmarkState

    data class Failed(
        val line: String,
    ) : BenchmarkState
}
