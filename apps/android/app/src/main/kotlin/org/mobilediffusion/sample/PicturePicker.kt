package org.mobilediffusion.sample

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent

/** Opens the system's picker for pictures, which answers with [code]; [onProblem] gets a line where there is none. */
fun pickPicture(
    screen: Activity,
    code: Int,
    onProblem: (String) -> Unit,
) {
    val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
    try {
        screen.startActivityForResult(intent, code)
    } catch (_: ActivityNotFoundException) {
        onProblem(screen.getString(R.string.no_picker))
    }
}
