package org.mobilediffusion.sample

import android.app.Activity
import android.net.Uri
import android.view.View
import android.widget.EditText
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import org.mobilediffusion.sample.draw.MaskGrid
import org.mobilediffusion.sample.draw.StartPicture
import org.mobilediffusion.sample.models.ModelCard

/** The part of the draw screen with the picture to start from: choose it, paint its mask, give it up. */
class StartPanel(
    private val screen: Activity,
) {
    private val view by lazy { screen.findViewById<MaskView>(R.id.start) }
    private val strength by lazy { screen.findViewById<EditText>(R.id.strength) }
    private var card: ModelCard? = null

    /** What was chosen, or null. */
    var start: StartPicture? = null
        private set

    val typedStrength: String get() = "${strength.text}"

    /** Makes the buttons work; [onProblem] shows a line. */
    fun prepare(onProblem: (String) -> Unit) {
        screen.findViewById<View>(R.id.start_choose).setOnClickListener { pickPicture(screen, PICK, onProblem) }
        screen.findViewById<View>(R.id.start_clear).setOnClickListener { show(null, typedStrength) }
        screen.findViewById<View>(R.id.mask_clear).setOnClickListener {
            start?.mask?.clear()
            view.invalidate()
        }
    }

    fun show(
        picture: StartPicture?,
        share: String,
    ) {
        start = picture
        strength.setText(share)
        view.show(picture)
        screen.findViewById<View>(R.id.start_chosen).isVisible(picture != null)
        screen.findViewById<View>(R.id.start_clear).isVisible(picture != null)
    }

    /** Shows what a model offers; a picture of another size than its own is given up. */
    fun offer(model: ModelCard?) {
        card = model
        val size = model?.startSize
        screen.findViewById<View>(R.id.start_field).isVisible(size != null && readsPictures)
        val fits = start?.run { picture.width to picture.height } == size
        if (model != null && !fits) show(null, typedStrength)
    }

    /** Takes the picture that the system's picker gives; one line says why it cannot. */
    suspend fun take(
        address: Uri,
        onProblem: (String) -> Unit,
    ) {
        val model = card ?: return
        val size = model.startSize ?: return
        try {
            val picture = withContext(Dispatchers.IO) { readPicture(screen.contentResolver, address, size) }
            show(StartPicture(picture, MaskGrid(model.latentSize.first, model.latentSize.second)), typedStrength)
        } catch (error: Exception) {
            onProblem(lineOf(error))
        }
    }

    companion object {
        /** The picker's answer. */
        const val PICK = 2
    }
}
