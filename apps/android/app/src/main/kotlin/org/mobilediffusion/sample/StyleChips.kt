package org.mobilediffusion.sample

import android.view.LayoutInflater
import android.view.ViewGroup
import android.widget.TextView
import org.mobilediffusion.sample.draw.PromptStyle

/** A row of styles, one of which is chosen. */
class StyleChips(
    private val row: ViewGroup,
) {
    var chosen = PromptStyle.PLAIN
        private set

    init {
        for (style in PromptStyle.entries) {
            val chip = LayoutInflater.from(row.context).inflate(R.layout.chip, row, false) as TextView
            chip.text = style.id.ifEmpty { row.context.getString(R.string.no_style) }
            chip.tag = style
            chip.setOnClickListener { choose(style) }
            row.addView(chip)
        }
    }

    fun choose(style: PromptStyle) {
        chosen = style
        for (index in 0 until row.childCount) row.getChildAt(index).let { it.isSelected = it.tag == style }
    }
}
