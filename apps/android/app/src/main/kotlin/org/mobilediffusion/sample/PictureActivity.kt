package org.mobilediffusion.sample

import android.app.AlertDialog
import android.graphics.BitmapFactory
import android.os.Bundle
import android.view.View
import android.widget.ImageView
import android.widget.TextView
import android.widget.Toast
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.mobilediffusion.sample.draw.DrawForm
import org.mobilediffusion.sample.history.SavedDrawing

/** One picture of the history: draw it again, share it, delete it. */
class PictureActivity : ScreenActivity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.picture)
        findViewById<View>(R.id.back).setOnClickListener { finish() }
    }

    override fun whileVisible(scope: CoroutineScope) {
        scope.launch {
            val saved = withContext(Dispatchers.IO) { app.history.find(intent.getIntExtra(NUMBER, 0)) }
            if (saved == null) finish() else show(saved, scope)
        }
    }

    private suspend fun show(
        saved: SavedDrawing,
        scope: CoroutineScope,
    ) {
        val drawing = saved.drawing
        findViewById<TextView>(R.id.prompt).text = drawing.fullPrompt
        findViewById<TextView>(R.id.details).text =
            getString(R.string.picture_details, drawing.model, drawing.seed.toString(), secondsOf(drawing.milliseconds))
        findViewById<View>(R.id.reopen).setOnClickListener { reopen(saved) }
        findViewById<View>(R.id.share).setOnClickListener { share(saved.file, drawing.fullPrompt) }
        findViewById<View>(R.id.delete).setOnClickListener { askToDelete(saved, scope) }
        val bitmap = withContext(Dispatchers.IO) { BitmapFactory.decodeFile(saved.file.path) }
        findViewById<ImageView>(R.id.picture).setImageBitmap(bitmap)
    }

    private fun reopen(saved: SavedDrawing) {
        app.studio.form = DrawForm.of(saved.drawing)
        if (saved.drawing.model in app.models.names()) app.chosen.name = saved.drawing.model
        go(DrawActivity::class.java)
        finish()
    }

    private fun askToDelete(
        saved: SavedDrawing,
        scope: CoroutineScope,
    ) {
        AlertDialog
            .Builder(this)
            .setMessage(R.string.delete_picture)
            .setPositiveButton(R.string.delete) { _, _ -> scope.launch { delete(saved) } }
            .setNegativeButton(R.string.keep, null)
            .show()
    }

    private suspend fun delete(saved: SavedDrawing) {
        try {
            withContext(Dispatchers.IO) { app.history.delete(saved.number) }
            finish()
        } catch (error: StoreException) {
            Toast.makeText(this, error.message, Toast.LENGTH_LONG).show()
        }
    }

    companion object {
        /** Extra: the picture's number. */
        const val NUMBER = "number"
    }
}
