package org.mobilediffusion.sample.benchmark

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import org.mobilediffusion.core.Conditions
import org.mobilediffusion.core.GoldenCheck
import org.mobilediffusion.core.GoldenRecord
import org.mobilediffusion.core.GoldenUnit
import org.mobilediffusion.core.RuntimeSpec
import org.mobilediffusion.sample.draw.Pipelines
import org.mobilediffusion.sample.draw.Verdicts
import org.mobilediffusion.sample.lineOf
import org.mobilediffusion.sample.models.ModelStore

/** Compares a model with PyTorch on every runtime that the app can open, and remembers which to draw with. */
class GoldenRun(
    private val models: ModelStore,
    private val pipelines: Pipelines,
    /** Where the outcome is left. */
    val files: BenchmarkFiles,
    private val verdicts: Verdicts,
    /** Version of the ExecuTorch library. */
    private val version: String,
    private val conditions: () -> Conditions,
) {
    /** All comparisons, also left as a file; [tell] is told what is compared.  Throws as the store. */
    suspend fun run(
        model: String,
        threads: Int,
        tell: (BenchmarkState) -> Unit,
    ): GoldenRecord {
        withContext(Dispatchers.IO) { files.clear(model) }
        val hash = withContext(Dispatchers.IO) { models.hash(model) }
        val machine = conditions()
        val units =
            withContext(Dispatchers.IO) { models.runtimes(model) }.map { runtime ->
                tell(BenchmarkState.Comparing(model, runtime.name))
                compare(model, threads, runtime) { tell(BenchmarkState.Comparing(model, runtime.name, it)) }
            }
        val record = GoldenRecord(machine, units)
        withContext(Dispatchers.IO) {
            verdicts.write(model, hash, units.filter { it.passed }.map { it.runtime.name })
            files.writeReport(model, record.toJson())
        }
        return record
    }

    /** A runtime that fails is part of the record: the others are compared all the same. */
    private suspend fun compare(
        model: String,
        threads: Int,
        runtime: RuntimeSpec,
        onTurn: (Boolean) -> Unit,
    ): GoldenUnit =
        try {
            val report = pipelines.use(model, threads, onTurn, runtime.name) { GoldenCheck(it).run() }
            GoldenUnit(runtime, version, report)
        } catch (error: CancellationException) {
            throw error
        } catch (error: Throwable) {
            GoldenUnit(runtime, version, null, lineOf(error))
        }
}
