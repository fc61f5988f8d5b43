package org.mobilediffusion.sample

import android.content.Context
import org.mobilediffusion.sample.models.ModelStore

/** The model that is drawn with; remembered when the app ends. */
class ChosenModel(
    context: Context,
    private val models: ModelStore,
) {
    private val settings = context.getSharedPreferences("settings", Context.MODE_PRIVATE)

    /** The chosen one while it is there, else the first; null when there is none. */
    var name: String?
        get() {
            val names = models.names()
            return settings.getString(KEY, null)?.takeIf { it in names } ?: names.firstOrNull()
        }
        set(value) = settings.edit().putString(KEY, value).apply()

    private companion object {
        const val KEY = "model"
    }
}
