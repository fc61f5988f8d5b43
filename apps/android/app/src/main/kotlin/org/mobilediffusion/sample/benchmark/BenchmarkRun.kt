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
import org.mobilediffusion.core.RuntimeInfo
import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.draw.Pipelines
import org.mobilediffusion.sample.lineOf
import org.mobilediffusion.sample.models.ModelStore
import org.mobilediffusion.sample.quoted

/** Times the stages of a model, or compares them with PyTorch, and leaves the outcome as a file; one at a time. */
class BenchmarkRun(
    private val pipelines: Pipelines,
    private val files: BenchmarkFiles,
    private val golden: GoldenRun,
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
        if (!canStart(model)) return
        current.value = BenchmarkState.Running(model)
        job = scope.launch { current.value = outcome(model, files) { measure(model, runs, threads) } }
    }

    /** Begins to compare with PyTorch, on every runtime that the app and the model have. */
    fun compare(
        model: String,
        threads: Int,
    ) {
        if (!canStart(model)) return
        current.value = BenchmarkState.Comparing(model)
        job =
            scope.launch {
                current.value =
                    outcome(model, golden.files) {
                        checkThreads(threads)
                        BenchmarkState.Compared(model, golden.run(model, threads) { current.value = it })
                    }
            }
    }

    private fun canStart(model: String): Boolean {
        if (current.value.isBusy) return false
        if (ModelStore.isName(model)) return true
        current.value = BenchmarkState.Failed("expected a model's name, got ${quoted(model)}; see Models")
        return false
    }

    /** Ends the measurement after the call that runs. */
    fun cancel() {
        job?.cancel()
    }

    private suspend fun outcome(
        model: String,
        place: BenchmarkFiles,
        action: suspend () -> BenchmarkState,
    ): BenchmarkState =
        try {
            action()
        } catch (error: CancellationException) {
            current.value = BenchmarkState.Idle
            throw error
        } catch (error: Throwable) {
            failed(model, place, lineOf(error))
        }

    private suspend fun measure(
        model: String,
        runs: Int,
        threads: Int,
    ): BenchmarkState {
        withContext(Dispatchers.IO) { files.clear(model) }
        if (runs !in 1..Benchmark.MAX_RUNS) refuse("runs", "1 to ${Benchmark.MAX_RUNS}", runs)
        checkThreads(threads)
        val info = RuntimeInfo("executorch android", version, threads)
        val onTurn = { waits: Boolean -> current.value = BenchmarkState.Running(model, waits = waits) }
        val report =
            pipelines.use(model, threads, onTurn) { pipeline ->
                Benchmark(pipeline, info, conditions()).measure(runs) {
                    current.value = BenchmarkState.Running(model, it)
                }
            }
        withContext(Dispatchers.IO) { files.writeReport(model, report.toJson()) }
        return BenchmarkState.Done(model, report)
    }

    private fun checkThreads(threads: Int) {
        if (threads !in 1..MAX_THREADS) refuse("threads", "1 to $MAX_THREADS", threads)
    }

    private suspend fun failed(
        model: String,
        place: BenchmarkFiles,
        line: String,
    ): BenchmarkState {
        try {
            withContext(Dispatchers.IO) { place.writeProblem(model, line) }
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
