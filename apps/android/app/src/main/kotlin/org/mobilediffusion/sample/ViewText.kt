package org.mobilediffusion.sample

import android.view.View
import org.mobilediffusion.core.Stage

/** Shows a view, or takes it and its place away. */
fun View.isVisible(shown: Boolean) {
    visibility = if (shown) View.VISIBLE else View.GONE
}

/** The text resource that names a stage. */
fun nameOf(stage: Stage): Int =
    when (stage) {
        Stage.ENCODE_TEXT -> R.string.stage_encode_text
        Stage.DENOISE -> R.string.stage_denoise
        Stage.DECODE_IMAGE -> R.string.stage_decode_image
        Stage.ENCODE_IMAGE -> R.string.stage_encode_image
        Stage.ENCODE_HINT -> R.string.stage_encode_hint
    }
