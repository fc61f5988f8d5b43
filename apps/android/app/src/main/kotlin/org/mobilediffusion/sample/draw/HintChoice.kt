package org.mobilediffusion.sample.draw

import org.mobilediffusion.core.Picture

/** What the user chose for one ControlNet. */
data class HintChoice(
    /** Of the model's size; null before one is chosen. */
    val picture: Picture? = null,
    /** Strength of its effect, as it is typed; empty for 1. */
    val scale: String = "1",
)
