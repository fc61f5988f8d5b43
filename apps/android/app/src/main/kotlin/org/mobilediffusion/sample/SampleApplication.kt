package org.mobilediffusion.sample

import android.app.Application
import android.content.pm.ApplicationInfo
import android.os.StrictMode
import android.util.Log
import kotlinx.coroutines.CoroutineExceptionHandler
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.drop
import kotlinx.coroutines.launch
import org.mobilediffusion.core.RuntimeChoice
import org.mobilediffusion.executorch.ExecuTorchRunner
import org.mobilediffusion.sample.benchmark.BenchmarkFiles
import org.mobilediffusion.sample.benchmark.BenchmarkRun
import org.mobilediffusion.sample.benchmark.GoldenRun
import org.mobilediffusion.sample.draw.HintChoice
import org.mobilediffusion.sample.draw.MaskGrid
import org.mobilediffusion.sample.draw.Pipelines
import org.mobilediffusion.sample.draw.StartFile
import org.mobilediffusion.sample.draw.StartPicture
import org.mobilediffusion.sample.draw.Studio
import org.mobilediffusion.sample.draw.Verdicts
import org.mobilediffusion.sample.history.HistoryStore
import org.mobilediffusion.sample.models.Installer
import org.mobilediffusion.sample.models.ModelStore
import java.io.File

/** What outlives the screens, and the answer to a phone that runs short of memory. */
class SampleApplication : Application() {
    /** What nothing else has caught is written to the phone's log, and the app stays. */
    private val leftover = CoroutineExceptionHandler { _, error -> Log.e("MobileDiffusion", lineOf(error), error) }
    private val scope = CoroutineScope(SupervisorJob() + MainThread + leftover)

    /** The runtimes of the flavour of ExecuTorch's library that the app was built with. */
    private val choice by lazy { RuntimeChoice(getString(R.string.runtimes).split(' ')) }
    private val version by lazy { getString(R.string.executorch_version) }
    private val compared by lazy { File(filesDir, "golden") }
    private val verdicts by lazy { Verdicts(compared, version) }

    val models by lazy { ModelStore(File(filesDir, "models"), choice) }
    val history by lazy { HistoryStore(File(filesDir, "history")) }
    val benchmarks by lazy { BenchmarkFiles(File(filesDir, "benchmark")) }
    val chosen by lazy { ChosenModel(this, models) }
    val pipelines by lazy { Pipelines(models, verdicts, { Phone.memoryPolicy(this, it) }, ::ExecuTorchRunner) }
    val studio by lazy { Studio(pipelines, history, scope, Phone.threads) }
    val installer by lazy { Installer(models, File(cacheDir, "downloads"), scope, plain = isDebug) }
    private val golden by lazy {
        GoldenRun(models, pipelines, BenchmarkFiles(compared), verdicts, version) { Phone.conditions(this) }
    }
    val benchmark by lazy {
        BenchmarkRun(pipelines, benchmarks, golden, scope, version) { Phone.conditions(this) }
    }

    private val kept by lazy { StartFile(File(cacheDir, "start")) }

    private fun keptHint(place: Int) = StartFile(File(cacheDir, "hint-$place"))

    override fun onCreate() {
        super.onCreate()
        if (isDebug) {
            StrictMode.setThreadPolicy(
                StrictMode.ThreadPolicy
                    .Builder()
                    .detectAll()
                    .penaltyLog()
                    .build(),
            )
        }
        scope.launch {
            combine(studio.state, installer.state, benchmark.state, Work::of)
                .distinctUntilChanged()
                .drop(1) // at first there is none
                .collect { WorkService.show(this@SampleApplication, it) }
        }
    }

    private val isDebug: Boolean get() = applicationInfo.flags and ApplicationInfo.FLAG_DEBUGGABLE != 0

    /** Keeps the chosen picture for a process that is ended in the background; written beside the main thread. */
    fun keepStart(start: StartPicture?) {
        scope.launch(Dispatchers.IO) { kept.write(start) }
    }

    /** The picture that a process before this one kept, which is small: it is read while the screen is made. */
    fun keptStart(): StartPicture? = kept.read()

    /** As [keepStart], for the pictures of ControlNets. */
    fun keepHints(hints: List<HintChoice>) {
        scope.launch(Dispatchers.IO) {
            for ((place, hint) in hints.withIndex()) {
                keptHint(place).write(hint.picture?.let { StartPicture(it, MaskGrid(1, 1)) })
            }
        }
    }

    /** As [keptStart], with the strengths that were typed. */
    fun keptHints(scales: List<String>): List<HintChoice> =
        scales.mapIndexed { place, scale -> HintChoice(keptHint(place).read()?.picture, scale) }

    /** The stages go when the phone asks for memory, not when another app merely covers this one. */
    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        if (level != TRIM_MEMORY_UI_HIDDEN && level >= TRIM_MEMORY_RUNNING_LOW) scope.launch { pipelines.unload() }
    }

    override fun onLowMemory() {
        super.onLowMemory()
        scope.launch { pipelines.unload() }
    }
}
