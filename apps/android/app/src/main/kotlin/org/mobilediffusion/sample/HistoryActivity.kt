package org.mobilediffusion.sample

import android.content.Intent
import android.os.Bundle
import android.view.View
import android.widget.GridView
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** The pictures that were drawn, the newest first. */
class HistoryActivity : ScreenActivity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setScreen(R.layout.history, R.id.tab_history)
    }

    override fun whileVisible(scope: CoroutineScope) {
        scope.launch {
            val drawings = withContext(Dispatchers.IO) { app.history.list() }
            val grid = findViewById<GridView>(R.id.grid)
            grid.adapter = HistoryAdapter(drawings, scope)
            grid.setOnItemClickListener { _, _, position, _ -> open(drawings[position].number) }
            findViewById<View>(R.id.empty).isVisible(drawings.isEmpty())
        }
    }

    private fun open(number: Int) {
        startActivity(Intent(this, PictureActivity::class.java).putExtra(PictureActivity.NUMBER, number))
    }
}
