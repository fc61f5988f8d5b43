package org.mobilediffusion.sample

import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import org.mobilediffusion.core.DiffusionException
import org.mobilediffusion.sample.models.ModelCard
import org.mobilediffusion.sample.models.ModelStore

/** A model of the list: what its manifest says, or the line that says why it cannot be read. */
class ModelRow(
    val name: String,
    val card: ModelCard?,
    val problem: String,
) {
    companion object {
        /** Reads the manifests of all models; blocks. */
        fun all(models: ModelStore): List<ModelRow> =
            models.names().map { name ->
                try {
                    ModelRow(name, models.card(name), "")
                } catch (error: DiffusionException) {
                    ModelRow(name, null, error.message.orEmpty())
                }
            }
    }
}

/** The cards of all models. */
class ModelList(
    private val place: ViewGroup,
    private val onChoice: (String) -> Unit,
    private val onDelete: (String) -> Unit,
) {
    fun show(
        rows: List<ModelRow>,
        chosen: String?,
    ) {
        place.removeAllViews()
        for (row in rows) {
            val card = LayoutInflater.from(place.context).inflate(R.layout.model_card, place, false)
            fill(card, row)
            card.isSelected = row.name == chosen
            place.addView(card)
        }
    }

    private fun fill(
        view: View,
        row: ModelRow,
    ) {
        val context = view.context
        view.findViewById<TextView>(R.id.name).text = row.name
        view.findViewById<TextView>(R.id.details).text =
            row.card?.let {
                context.getString(
                    R.string.model_details,
                    it.width,
                    it.height,
                    it.steps,
                    it.precision,
                    megabytesOf(it.bytes),
                )
            } ?: row.problem
        view.findViewById<TextView>(R.id.licence).text = row.card?.licence.orEmpty()
        if (row.card != null) view.setOnClickListener { onChoice(row.name) }
        view.findViewById<View>(R.id.delete).let {
            it.contentDescription = context.getString(R.string.delete_model, row.name)
            it.setOnClickListener { onDelete(row.name) }
        }
    }
}
