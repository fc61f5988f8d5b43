package org.mobilediffusion.sample

import android.graphics.BitmapFactory
import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.BaseAdapter
import android.widget.ImageView
import android.widget.TextView
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.mobilediffusion.sample.history.SavedDrawing

/** A card a picture; the file is read when the card comes into sight. */
class HistoryAdapter(
    private val drawings: List<SavedDrawing>,
    private val scope: CoroutineScope,
) : BaseAdapter() {
    override fun getCount() = drawings.size

    override fun getItem(position: Int) = drawings[position]

    override fun getItemId(position: Int) = drawings[position].number.toLong()

    override fun getView(
        position: Int,
        convertView: View?,
        parent: ViewGroup,
    ): View {
        val card =
            convertView ?: LayoutInflater.from(parent.context).inflate(R.layout.history_card, parent, false)
        val shown = drawings[position]
        card.tag = shown
        card.findViewById<TextView>(R.id.prompt).text = shown.drawing.prompt
        card.findViewById<TextView>(R.id.details).text =
            parent.context.getString(R.string.seed_and_model, shown.drawing.seed.toString(), shown.drawing.model)
        card.findViewById<ImageView>(R.id.picture).let { showPicture(it, card, shown) }
        return card
    }

    private fun showPicture(
        view: ImageView,
        card: View,
        shown: SavedDrawing,
    ) {
        view.setImageBitmap(null)
        scope.launch {
            val bitmap = withContext(Dispatchers.IO) { BitmapFactory.decodeFile(shown.file.path) }
            if (card.tag === shown) view.setImageBitmap(bitmap)
        }
    }
}
