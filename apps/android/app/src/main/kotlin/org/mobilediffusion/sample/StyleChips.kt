package org.mobilediffusion.sample

import android.view.LayoutInflater
import android.view.ViewGroup
import android.widget.TextView

/** A row with a model's styles, and none before them; one is chosen. */
class StyleChips(
    private val row: ViewGroup,
) {
    /** "" for none. */
    var chosen = ""
        private set

    /** Shows the styles of another model. */
    fun offer(styles: List<String>) {
        row.removeAllViews()
        for (style in listOf("") + styles) {
            val chip = LayoutInflater.from(row.context).inflate(R.layout.chip, row, false) as TextView
            chip.text = style.ifEmpty { row.context.getString(R.string.no_style) }
            chip.tag = style
            chip.setOnClickListener { choose(style) }
            row.addView(chip)
        }
        choose(chosen)
    }

    fun choose(style: String) {
        chosen = style
        for (index in 0 until row.childCount) row.getChildAt(index).let { it.isSelected = it.tag == style }
    }
}
