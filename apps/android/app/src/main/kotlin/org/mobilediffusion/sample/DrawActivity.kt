package org.mobilediffusion.sample

import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.EditText
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView
import android.widget.Toast
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.mobilediffusion.core.DiffusionException
import org.mobilediffusion.core.PromptSyntax
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
    private val pictures by lazy { findViewById<EditText>(R.id.pictures) }
    private val styles by lazy { Chips(findViewById(R.id.styles)) }
    private val syntaxes by lazy { Chips(findViewById(R.id.syntaxes)) }
    private val start by lazy { StartPanel(this) }
    private val hints by lazy { HintPanel(this, ::say) }

    /** What the picker answered: for whom, and with which picture. */
    private var chosen: Pair<Int, Uri>? = null
    private var shown: Any? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setScreen(R.layout.draw, R.id.tab_draw)
        savedInstanceState?.let { app.studio.form = formOf(it) }
        action.setOnClickListener { drawOrCancel() }
        findViewById<View>(R.id.dice).setOnClickListener { seed.setText(Random.nextULong(SMALL).toString()) }
        findViewById<View>(R.id.share).setOnClickListener { shareShown() }
        findViewById<View>(R.id.model).setOnClickListener { go(ModelsActivity::class.java) }
        start.prepare(::say)
        syntaxes.offer(PromptSyntax.entries.map { it.id to getString(titleOf(it)) })
    }

    /** The system's picker has been left, with a picture; it is read when the screen is there again. */
    override fun onActivityResult(
        requestCode: Int,
        resultCode: Int,
        data: Intent?,
    ) {
        if (resultCode == RESULT_OK) chosen = data?.data?.let { requestCode to it }
    }

    override fun whileVisible(scope: CoroutineScope) {
        show(app.studio.form)
        scope.launch {
            showModel()
            chosen?.also { chosen = null }?.let { (code, address) -> take(code, address) }
        }
        scope.launch { app.studio.state.collect(::show) }
    }

    private suspend fun take(
        code: Int,
        address: Uri,
    ) = if (code == StartPanel.PICK) start.take(address, ::say) else hints.take(code, address)

    override fun onStop() {
        app.studio.form = typed()
        super.onStop()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        val form = typed()
        outState.putStringArray(FORM, arrayOf(form.prompt, form.style, form.seed, form.guidance))
        outState.putStringArray(MORE, arrayOf(form.pictures, form.strength, form.syntax.id))
        outState.putStringArray(HINTS, form.hints.map { it.scale }.toTypedArray())
        app.keepStart(form.start)
        app.keepHints(form.hints)
    }

    private fun typed(): DrawForm {
        val (prompt, seed, guidance, pictures) = listOf(prompt, seed, guidance, pictures).map { "${it.text}" }
        val (share, picture, syntax) = Triple(start.typedStrength, start.start, syntaxOf(syntaxes.chosen))
        return DrawForm(prompt, styles.chosen, seed, guidance, pictures, share, picture, syntax, hints.typed)
    }

    /** What was typed before the process ended, or the screen was turned. */
    private fun formOf(saved: Bundle): DrawForm {
        val (prompt, style, seed, guidance) = saved.getStringArray(FORM) ?: return app.studio.form
        val (pictures, strength, syntax) = saved.getStringArray(MORE) ?: return app.studio.form
        val start = app.studio.form.start ?: app.keptStart()
        val scales = saved.getStringArray(HINTS).orEmpty().toList()
        val hints =
            app.studio.form.hints
                .ifEmpty { app.keptHints(scales) }
        return DrawForm(prompt, style, seed, guidance, pictures, strength, start, syntaxOf(syntax), hints)
    }

    private fun drawOrCancel() {
        if (app.studio.state.value.isBusy) return app.studio.cancel()
        val model = app.chosen.name ?: return go(ModelsActivity::class.java)
        app.studio.form = typed()
        app.studio.draw(model)
    }

    private fun shareShown() {
        app.studio.state.value.saved
            ?.let { share(it.file, it.drawing.fullPrompt) }
    }

    private fun show(form: DrawForm) {
        prompt.setText(form.prompt)
        styles.choose(form.style)
        seed.setText(form.seed)
        guidance.setText(form.guidance)
        pictures.setText(form.pictures)
        start.show(form.start, form.strength)
        syntaxes.choose(form.syntax.id)
        hints.show(form.hints)
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
        start.offer(card)
        hints.offer(card)
        styles.offer(listOf("" to getString(R.string.no_style)) + card?.styles.orEmpty().map { it to it })
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
            is Phase.Drawing -> stepLine(phase)
            is Phase.Done -> getString(R.string.drawn, secondsOf(phase.milliseconds))
            is Phase.Cancelled -> getString(R.string.cancelled)
            is Phase.Failed -> phase.line
        }

    private fun stepLine(phase: Phase.Drawing): String {
        val line = getString(R.string.step, phase.step, phase.steps)
        val (number, count) = app.studio.state.value.picturesDrawn
        return if (count == 1) line else getString(R.string.picture_of, number, count, line)
    }

    private fun syntaxOf(id: String): PromptSyntax = PromptSyntax.entries.first { it.id == id }

    private fun titleOf(syntax: PromptSyntax): Int =
        when (syntax) {
            PromptSyntax.PLAIN -> R.string.syntax_plain
            PromptSyntax.A1111 -> R.string.syntax_a1111
            PromptSyntax.COMPEL -> R.string.syntax_compel
        }

    private fun say(line: String) = Toast.makeText(this, line, Toast.LENGTH_LONG).show()

    private companion object {
        const val FORM = "form"
        const val MORE = "form.more"
        const val HINTS = "form.hints"

        /** Dice give seeds that can be read out. */
        val SMALL = 1_000_000uL
    }
}
