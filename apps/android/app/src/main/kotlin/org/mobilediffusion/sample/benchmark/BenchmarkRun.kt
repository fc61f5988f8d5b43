package org.mobilediffusion.sample.benchmark

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.mobilediffusion.core.Benchmark
import org.mobilediffusion.core.Conditions
import org.mobilediffusion.core.LatencyReport
import org.mobilediffusion.core.RuntimeInfo
import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.draw.Pipelines
import org.mobilediffusion.sample.lineOf
import org.mobilediffusion.sample.models.ModelStore
import org.mobilediffusion.sample.quoted

/** Times the stages of a model and leaves the outcome as a file; one measurement at a time. */
class BenchmarkRun(
    private val pipelines: Pipelines,
    private val files: BenchmarkFiles,
    private val scope: CoroutineScope,
    /** Version of the ExecuTorch library. */
    private val version: String,
    private val conditions: () -> Conditions,
) {
    private val current = MutableStateFlow<BenchmarkState>(BenchmarkState.Idle)
    private var job: Job? = null

    val state: StateFlow<BenchmarkState> = current.asStateFlow()

    /** Begins to measure; nothing happens while something is measured. */
    fun start(
        model: String,
        runs: Int,
        threads: Int,
    ) {
        if (current.value is BenchmarkState.Running) return
        if (!ModelStore.isName(model)) {
            current.value = BenchmarkState.Failed("expected a model's name, got ${quoted(model)}; see Models")
            return
        }
        current.value = BenchmarkState.Running(model)
        job = scope.launch { current.value = outcome(model) { measure(model, runs, threads) } }
    }

    /** Ends the measurement after the call that runs. */
    fun cancel() {
        job?.cancel()
    }

    private suspend fun outcome(
        model: String,
        action: suspend () -> LatencyReport,
    ): BenchmarkState =
        try {
            val report = action()
            withContext(Dispatchers.IO) { files.writeReport(model, report.toJson()) }
            BenchmarkState.Done(model, report)
        } catch (error: CancellationException) {
            current.value = BenchmarkState.Idle
            throw error
        } catch (error: Throwable) {
            failed(model, lineOf(error))
        }

    private suspend fun measure(
        model: String,
        runs: Int,
        threads: Int,
    ): LatencyReport {
        withContext(Dispatchers.IO) { files.clear(model) }
        if (runs !in 1..Benchmark.MAX_RUNS) refuse("runs", "1 to ${Benchmark.MAX_RUNS}", runs)
        if (threads !in 1..MAX_THREADS) refuse("threads", "1 to $MAX_THREADS", threads)
        val info = RuntimeInfo("executorch android", version, threads)
        val onTurn = { waits: Boolean -> current.value = BenchmarkState.Running(model, waits = waits) }
        return pipelines.use(model, threads, onTurn) { pipeline ->
            Benchmark(pipeline, info, conditions()).measure(runs) { current.value = BenchmarkState.Running(model, it) }
        }
    }

    private suspend fun failed(
        model: String,
        line: String,
    ): BenchmarkState {
        try {
            withContext(Dispatchers.IO) { files.writeProblem(model, line) }
        } catch (_: StoreException) {
            // The screen says it; there is no other place.
        }
        return BenchmarkState.Failed(line)
    }

    private fun refuse(
        field: String,
        expected: String,
        got: Int,
    ): Nothing = throw StoreException("$field: expected $expected, got $got")

    companion object {
        /** As everywhere else. */
        const val MAX_THREADS = 256
    }
}
