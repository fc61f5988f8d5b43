package org.mobilediffusion.sample

import android.view.LayoutInflater
import android.view.ViewGroup
import android.widget.TextView

/** A row of values of which one is chosen. */
class Chips(
    private val row: ViewGroup,
) {
    /** "" before any. */
    var chosen = ""
        private set

    /** Shows other values, each with its title. */
    fun offer(choices: List<Pair<String, String>>) {
        row.removeAllViews()
        for ((value, title) in choices) {
            val chip = LayoutInflater.from(row.context).inflate(R.layout.chip, row, false) as TextView
            chip.text = title
            chip.tag = value
            chip.setOnClickListener { choose(value) }
            row.addView(chip)
        }
        choose(chosen)
    }

    fun choose(value: String) {
        chosen = value
        for (index in 0 until row.childCount) row.getChildAt(index).let { it.isSelected = it.tag == value }
    }
}
