package org.mobilediffusion.sample.benchmark

import org.mobilediffusion.core.GoldenRecord
import org.mobilediffusion.core.LatencyReport
import org.mobilediffusion.core.Stage

/** How far a measurement is. */
sealed interface BenchmarkState {
    /** Whether something is under way that can be cancelled. */
    val isBusy: Boolean get() = this is Running || this is Comparing

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

    /** Every golden drawing is compared with PyTorch's. */
    data class Comparing(
        val model: String,
        /** "xnnpack" for example; null until the first one is opened. */
        val runtime: String? = null,
        val waits: Boolean = false,
    ) : BenchmarkState

    data class Compared(
        val model: String,
        val record: GoldenRecord,
    ) : BenchmarkState

    data class Failed(
        val line: String,
    ) : BenchmarkState
}
