package org.mobilediffusion.sample

import android.content.Intent
import android.os.Bundle
import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.EditText
import android.widget.TextView
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.mobilediffusion.core.GoldenUnit
import org.mobilediffusion.core.LatencyReport
import org.mobilediffusion.core.StageTimes
import org.mobilediffusion.core.unit
import org.mobilediffusion.sample.benchmark.BenchmarkState

/**
 * Times every stage of a model.
 *
 * It can be started from a computer: `am start -W -n org.mobilediffusion.sample/.BenchmarkActivity --es bundle NAME
 * --ei runs N --ei threads T`; the outcome lies in `files/benchmark` then.  With `--ez golden true` it compares with
 * PyTorch instead, and the outcome lies in `files/golden`.
 */
class BenchmarkActivity : ScreenActivity() {
    private val runs by lazy { findViewById<EditText>(R.id.runs) }
    private val threads by lazy { findViewById<EditText>(R.id.threads) }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setScreen(R.layout.benchmark, R.id.tab_benchmark)
        findViewById<View>(R.id.measure).setOnClickListener { measureOrCancel() }
        findViewById<View>(R.id.compare).setOnClickListener { compare() }
        findViewById<View>(R.id.share).setOnClickListener { shareReport() }
        if (savedInstanceState != null) return
        runs.setText(DEFAULT_RUNS.toString())
        threads.setText(Phone.threads.toString())
        startAsTold(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        startAsTold(intent)
    }

    override fun whileVisible(scope: CoroutineScope) {
        scope.launch {
            val model = withContext(Dispatchers.IO) { app.chosen.name }
            findViewById<TextView>(R.id.model).text = model ?: getString(R.string.no_model)
        }
        scope.launch { app.benchmark.state.collect(::show) }
    }

    /** What a computer asks for; numbers that make no sense end as a line in the file. */
    private fun startAsTold(intent: Intent) {
        val model = intent.getStringExtra("bundle") ?: return
        val threads = intent.getIntExtra("threads", Phone.threads)
        if (intent.getBooleanExtra("golden", false)) return app.benchmark.compare(model, threads)
        app.benchmark.start(model, intent.getIntExtra("runs", DEFAULT_RUNS), threads)
    }

    private fun measureOrCancel() {
        if (app.benchmark.state.value.isBusy) return app.benchmark.cancel()
        val model = app.chosen.name ?: return go(ModelsActivity::class.java)
        app.benchmark.start(model, numberIn(runs), numberIn(threads))
    }

    private fun compare() {
        val model = app.chosen.name ?: return go(ModelsActivity::class.java)
        app.benchmark.compare(model, numberIn(threads))
    }

    /** 0, which is refused, for anything but digits. */
    private fun numberIn(field: EditText): Int = "${field.text}".toIntOrNull() ?: 0

    private fun shareReport() {
        val done = app.benchmark.state.value as? BenchmarkState.Done ?: return
        share(app.benchmarks.report(done.model), getString(R.string.times_of, done.model))
    }

    private fun show(state: BenchmarkState) {
        findViewById<Button>(R.id.measure).let {
            it.setText(if (state.isBusy) R.string.cancel else R.string.measure)
            it.isSelected = state.isBusy
        }
        findViewById<View>(R.id.progress).isVisible(state.isBusy)
        findViewById<View>(R.id.compare).isVisible(!state.isBusy)
        findViewById<View>(R.id.results).isVisible(state is BenchmarkState.Done)
        findViewById<TextView>(R.id.status).text = lineOf(state)
        if (state is BenchmarkState.Done) show(state.report)
    }

    private fun lineOf(state: BenchmarkState): String =
        when (state) {
            is BenchmarkState.Idle -> ""
            is BenchmarkState.Running -> lineOf(state)
            is BenchmarkState.Done -> getString(R.string.times_of, state.model)
            is BenchmarkState.Comparing -> lineOf(state)
            is BenchmarkState.Compared -> state.record.units.joinToString("\n", transform = ::lineOf)
            is BenchmarkState.Failed -> state.line
        }

    private fun lineOf(running: BenchmarkState.Running): String {
        val stage = running.stage ?: return getString(if (running.waits) R.string.waiting else R.string.opening)
        return getString(nameOf(stage))
    }

    private fun lineOf(comparing: BenchmarkState.Comparing): String {
        val runtime = comparing.runtime ?: return getString(if (comparing.waits) R.string.waiting else R.string.opening)
        return getString(R.string.comparing, runtime)
    }

    private fun lineOf(unit: GoldenUnit): String {
        val report = unit.report ?: return "${unit.runtime.name}: ${unit.error}"
        val verdict = getString(if (report.passed) R.string.compared_well else R.string.compared_badly)
        return getString(R.string.compared, unit.runtime.name, unit.runtime.unit, report.worstDb, verdict)
    }

    private fun show(report: LatencyReport) {
        val machine = report.conditions
        findViewById<TextView>(R.id.conditions).text =
            getString(R.string.conditions, machine.processor, machine.system, report.info.threads)
        val rows = findViewById<ViewGroup>(R.id.rows)
        rows.removeAllViews()
        report.stages.forEach { addRow(rows, it) }
    }

    private fun addRow(
        rows: ViewGroup,
        times: StageTimes,
    ) {
        val row = LayoutInflater.from(this).inflate(R.layout.benchmark_row, rows, false)
        row.findViewById<TextView>(R.id.stage).setText(nameOf(times.stage))
        row.findViewById<TextView>(R.id.median).text = millisecondsOf(times.percentile(0.5))
        row.findViewById<TextView>(R.id.spread).text =
            millisecondsOf(times.percentile(0.75) - times.percentile(0.25))
        row.findViewById<TextView>(R.id.count).text = times.milliseconds.size.toString()
        rows.addView(row)
    }

    private companion object {
        const val DEFAULT_RUNS = 10
    }
}
