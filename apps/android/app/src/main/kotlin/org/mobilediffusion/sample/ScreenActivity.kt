package org.mobilediffusion.sample

import android.app.Activity
import android.content.Intent
import android.view.View
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel

/** A screen: what it starts in [whileVisible] ends when it is left, while the app's own work goes on. */
abstract class ScreenActivity : Activity() {
    protected val app: SampleApplication get() = application as SampleApplication
    private var scope: CoroutineScope? = null

    /** Starts what keeps the views up to date. */
    protected abstract fun whileVisible(scope: CoroutineScope)

    override fun onStart() {
        super.onStart()
        whileVisible(CoroutineScope(SupervisorJob() + MainThread).also { scope = it })
    }

    override fun onStop() {
        scope?.cancel()
        scope = null
        super.onStop()
    }

    /** Shows a layout whose bar at the bottom leads to the other screens. */
    protected fun setScreen(
        layout: Int,
        tab: Int,
    ) {
        setContentView(layout)
        for ((id, screen) in tabs) {
            val view = findViewById<View>(id)
            view.isSelected = id == tab
            if (id != tab) view.setOnClickListener { go(screen) }
        }
    }

    /** One of each screen is kept, and comes to the front as it was. */
    protected fun go(screen: Class<out Activity>) {
        startActivity(Intent(this, screen).addFlags(Intent.FLAG_ACTIVITY_REORDER_TO_FRONT))
        overridePendingTransition(0, 0)
    }

    private companion object {
        val tabs =
            listOf(
                R.id.tab_draw to DrawActivity::class.java,
                R.id.tab_history to HistoryActivity::class.java,
                R.id.tab_models to ModelsActivity::class.java,
                R.id.tab_benchmark to BenchmarkActivity::class.java,
            )
    }
}
