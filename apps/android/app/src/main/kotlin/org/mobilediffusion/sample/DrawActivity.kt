package org.mobilediffusion.sample

import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.EditText
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.mobilediffusion.core.DiffusionException
import org.mobilediffusion.sample.draw.DrawForm
import org.mobilediffusion.sample.draw.DrawState
import org.mobilediffusion.sample.draw.Phase
import kotlin.random.Random
import kotlin.random.nextULong

/** Prompt, style and seed in; the picture out, step by step. */
class DrawActivity : ScreenActivity() {
    private val prompt by lazy { findViewById<EditText>(R.id.prompt) }
    private val seed by lazy { findViewById<EditText>(R.id.seed) }
    private val guidance by lazy { findViewById<EditText>(R.id.guidance) }
    private val action by lazy { findViewById<Button>(R.id.draw) }
    private val styles by lazy { StyleChips(findViewById(R.id.styles)) }
    private var shown: Any? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setScreen(R.layout.draw, R.id.tab_draw)
        savedInstanceState?.let { app.studio.form = formOf(it) }
        action.setOnClickListener { drawOrCancel() }
        findViewById<View>(R.id.dice).setOnClickListener { seed.setText(Random.nextULong(SMALL).toString()) }
        findViewById<View>(R.id.share).setOnClickListener { shareShown() }
        findViewById<View>(R.id.model).setOnClickListener { go(ModelsActivity::class.java) }
    }

    override fun whileVisible(scope: CoroutineScope) {
        show(app.studio.form)
        scope.launch { showModel() }
        scope.launch { app.studio.state.collect(::show) }
    }

    override fun onStop() {
        app.studio.form = typed()
        super.onStop()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        val form = typed()
        outState.putStringArray(FORM, arrayOf(form.prompt, form.style, form.seed, form.guidance))
    }

    private fun typed() = DrawForm("${prompt.text}", styles.chosen, "${seed.text}", "${guidance.text}")

    private fun formOf(saved: Bundle): DrawForm {
        val (prompt, style, seed, guidance) = saved.getStringArray(FORM) ?: return app.studio.form
        return DrawForm(prompt, style, seed, guidance)
    }

    private fun drawOrCancel() {
        if (app.studio.state.value.isBusy) return app.studio.cancel()
        val model = app.chosen.name ?: return go(ModelsActivity::class.java)
        app.studio.form = typed()
        app.studio.draw(model)
    }

    private fun shareShown() {
        app.studio.state.value.saved
            ?.let { share(it.file, it.drawing.prompt) }
    }

    private fun show(form: DrawForm) {
        prompt.setText(form.prompt)
        styles.choose(form.style)
        seed.setText(form.seed)
        guidance.setText(form.guidance)
    }

    private suspend fun showModel() {
        val name = withContext(Dispatchers.IO) { app.chosen.name }
        findViewById<TextView>(R.id.model).text = name ?: getString(R.string.no_model)
        val card =
            try {
                name?.let { withContext(Dispatchers.IO) { app.models.card(it) } }
            } catch (_: DiffusionException) {
                null // drawing says it
            }
        styles.offer(card?.styles.orEmpty())
        findViewById<View>(R.id.style_field).isVisible(!card?.styles.isNullOrEmpty())
        findViewById<LinearLayout>(R.id.guidance_field).isVisible(card?.guidance != null)
        guidance.hint = card?.guidance?.toString().orEmpty()
    }

    private fun show(state: DrawState) {
        if (state.picture !== shown) {
            shown = state.picture
            findViewById<ImageView>(R.id.picture).setImageBitmap(state.picture?.let(::bitmapOf))
        }
        findViewById<View>(R.id.empty).isVisible(state.picture == null)
        findViewById<View>(R.id.share).isVisible(state.saved != null)
        action.setText(if (state.isBusy) R.string.cancel else R.string.draw)
        action.isSelected = state.isBusy
        showProgress(state)
        findViewById<TextView>(R.id.status).text = linesOf(state)
    }

    private fun showProgress(state: DrawState) {
        val bar = findViewById<ProgressBar>(R.id.progress)
        bar.isIndeterminate = state.isPreparing
        bar.visibility = if (state.isBusy) View.VISIBLE else View.INVISIBLE
        val phase = state.phase
        if (phase is Phase.Drawing) {
            bar.max = phase.steps
            bar.progress = phase.step
        }
    }

    private fun linesOf(state: DrawState): String {
        val line = lineOf(state.phase)
        val warned = state.wordsUnknown && state.phase is Phase.Done
        return if (warned) "$line\n${getString(R.string.words_unknown)}" else line
    }

    private fun lineOf(phase: Phase): String =
        when (phase) {
            is Phase.Idle -> ""
            is Phase.Waiting -> getString(R.string.waiting)
            is Phase.Opening -> getString(R.string.opening)
            is Phase.Loading -> getString(R.string.loading, getString(nameOf(phase.stage)))
            is Phase.Drawing -> getString(R.string.step, phase.step, phase.steps)
            is Phase.Done -> getString(R.string.drawn, secondsOf(phase.milliseconds))
            is Phase.Cancelled -> getString(R.string.cancelled)
            is Phase.Failed -> phase.line
        }

    private companion object {
        const val FORM = "form"

        /** Dice give seeds that can be read out. */
        val SMALL = 1_000_000uL
    }
}
