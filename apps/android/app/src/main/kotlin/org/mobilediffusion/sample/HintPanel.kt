package org.mobilediffusion.sample

import android.app.Activity
import android.net.Uri
import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.EditText
import android.widget.ImageView
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import org.mobilediffusion.sample.draw.HintChoice
import org.mobilediffusion.sample.models.ModelCard

/** The part of the draw screen with the hints of ControlNets: a picture for each, and the strength of its effect. */
class HintPanel(
    private val screen: Activity,
    private val onProblem: (String) -> Unit,
) {
    private val rows by lazy { screen.findViewById<ViewGroup>(R.id.hints) }
    private var size = 0 to 0
    private var choices = emptyList<HintChoice>()

    /** What is chosen and typed, one per ControlNet. */
    val typed: List<HintChoice>
        get() {
            if (rows.childCount != choices.size) return choices // before a model is known
            return choices.mapIndexed { place, each -> each.copy(scale = "${scale(place).text}") }
        }

    /** Puts earlier choices there. */
    fun show(earlier: List<HintChoice>) {
        choices = earlier
        if (rows.childCount == choices.size) choices.indices.forEach(::showRow)
    }

    /** A row for each ControlNet of a model; pictures of another size than its own are given up. */
    fun offer(model: ModelCard?) {
        if (model == null) return
        val earlier = typed
        size = model.width to model.height
        choices =
            List(model.controls) { place ->
                val choice = earlier.getOrNull(place) ?: HintChoice()
                if (choice.picture?.run { width to height } == size) choice else choice.copy(picture = null)
            }
        rows.removeAllViews()
        for (place in choices.indices) {
            val row = LayoutInflater.from(screen).inflate(R.layout.hint, rows, false)
            row.findViewById<View>(R.id.hint_choose).setOnClickListener { pickPicture(screen, PICK + place, onProblem) }
            rows.addView(row)
            showRow(place)
        }
        screen.findViewById<View>(R.id.hints_field).isVisible(choices.isNotEmpty() && readsPictures)
    }

    /** Takes the picture that the system's picker gives for [code]; one line says why it cannot. */
    suspend fun take(
        code: Int,
        address: Uri,
    ) {
        val place = code - PICK
        if (place !in choices.indices) return
        try {
            val picture = withContext(Dispatchers.IO) { readPicture(screen.contentResolver, address, size) }
            choices = typed.mapIndexed { each, choice -> if (each == place) choice.copy(picture = picture) else choice }
            showRow(place)
        } catch (error: Exception) {
            onProblem(lineOf(error))
        }
    }

    private fun scale(place: Int): EditText = rows.getChildAt(place).findViewById(R.id.hint_scale)

    private fun showRow(place: Int) {
        val (row, choice) = rows.getChildAt(place) to choices[place]
        row.findViewById<ImageView>(R.id.hint_picture).run {
            isVisible(choice.picture != null)
            setImageBitmap(choice.picture?.let(::bitmapOf))
        }
        row.findViewById<Button>(R.id.hint_choose).text =
            screen.getString(R.string.hint_choose, place + 1, choices.size)
        scale(place).setText(choice.scale)
    }

    companion object {
        /** The picker's answer for the first ControlNet; those after it follow. */
        const val PICK = 16
    }
}
