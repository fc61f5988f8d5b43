package org.mobilediffusion.sample.draw

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.mobilediffusion.core.DrawEvent
import org.mobilediffusion.core.DrawRequest
import org.mobilediffusion.sample.history.Drawing
import org.mobilediffusion.sample.history.HistoryStore
import org.mobilediffusion.sample.lineOf

/** Draws one picture at a time and keeps it; lives as long as the app, so that a rotated screen finds its drawing. */
class Studio(
    private val pipelines: Pipelines,
    private val history: HistoryStore,
    private val scope: CoroutineScope,
    private val threads: Int,
) {
    private val current = MutableStateFlow(DrawState())
    private var job: Job? = null

    /** What the screen shows; all changes happen in [scope]. */
    val state: StateFlow<DrawState> = current.asStateFlow()

    /** What is typed; the screen writes it, and another one may put a picture of the history there. */
    var form = DrawForm()

    /** Begins to draw; nothing happens while something is drawn. */
    fun draw(model: String) {
        if (current.value.isBusy) return
        current.value = DrawState.opening(current.value)
        val wanted = form
        job = scope.launch { current.value = outcome { drawWith(model, wanted) } }
    }

    /** Ends the drawing before its next stage or step. */
    fun cancel() {
        job?.cancel()
    }

    private suspend fun outcome(action: suspend () -> Unit): DrawState =
        try {
            action()
            current.value
        } catch (error: CancellationException) {
            current.value = current.value.copy(phase = Phase.Cancelled)
            throw error
        } catch (error: Throwable) {
            current.value.copy(phase = Phase.Failed(lineOf(error)))
        }

    private suspend fun drawWith(
        name: String,
        form: DrawForm,
    ) = pipelines.use(name, threads, ::showTurn) { pipeline ->
        val typed = pipeline.bundle.tokenizer.encode(form.prompt)
        current.value = current.value.copy(wordsUnknown = !typed.known)
        val model = pipeline.bundle.manifest
        val requests = form.requests(model)
        var drawn = 0
        pipeline.draw(requests.first(), requests.size).collect { event ->
            current.value = current.value.copy(picturesDrawn = drawn + 1 to requests.size)
            if (event is DrawEvent.Finished) keep(event, requests[drawn++], form, name, model.styles)
            val isLast = event !is DrawEvent.Finished || drawn == requests.size
            if (isLast) current.value = current.value.after(event)
        }
    }

    /** Shows a picture, even if it cannot be kept, and puts it into the history. */
    private suspend fun keep(
        event: DrawEvent.Finished,
        request: DrawRequest,
        form: DrawForm,
        model: String,
        styles: List<String>,
    ) {
        current.value = current.value.copy(picture = event.picture)
        val (prompt, style) = form.prompt.trim() to form.styleOf(styles)
        val (seed, guidance, strength) = Triple(request.seed, request.guidance, request.start?.strength)
        val drawing =
            Drawing(prompt, style, seed, guidance, model, event.milliseconds, strength, request.syntax)
        val saved = withContext(Dispatchers.IO) { history.save(event.picture, drawing) }
        current.value = current.value.copy(saved = saved)
    }

    private fun showTurn(waits: Boolean) {
        current.value = current.value.copy(phase = if (waits) Phase.Waiting else Phase.Opening)
    }
}
