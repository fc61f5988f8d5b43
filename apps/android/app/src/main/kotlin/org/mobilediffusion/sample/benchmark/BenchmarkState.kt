package org.mobilediffusion.sample.benchmark

import org.mobilediffusion.core.LatencyReport
import org.mobilediffusion.core.Stage

/** How far a measurement is. */
sealed interface BenchmarkState {
    data object Idle : BenchmarkState

    data class Running(
        val model: String,
        /** Null while the model is opened. */
        val stage: Stage?,
    ) : BenchmarkState

    data class Done(
        val model: String,
        val report: LatencyReport,
    ) : BenchmarkState

    data class Failed(
        val line: String,
    ) : BenchmarkState
}
