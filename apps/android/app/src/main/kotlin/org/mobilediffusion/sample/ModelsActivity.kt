package org.mobilediffusion.sample

import android.app.Activity
import android.app.AlertDialog
import android.content.ActivityNotFoundException
import android.content.Intent
import android.os.Bundle
import android.view.View
import android.widget.ProgressBar
import android.widget.TextView
import android.widget.Toast
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.mobilediffusion.sample.models.InstallState
import java.io.FileNotFoundException

/** The models on this phone: choose one, add one, delete one. */
class ModelsActivity : ScreenActivity() {
    private val list by lazy { ModelList(findViewById(R.id.list), ::choose, ::askToDelete) }
    private var visible: CoroutineScope? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setScreen(R.layout.models, R.id.tab_models)
        findViewById<View>(R.id.from_app).setOnClickListener { chooseAsset() }
        findViewById<View>(R.id.from_file).setOnClickListener { chooseFile() }
        findViewById<View>(R.id.from_network).setOnClickListener { DownloadDialog.show(this, app.installer::download) }
        findViewById<View>(R.id.cancel).setOnClickListener { app.installer.cancel() }
    }

    override fun whileVisible(scope: CoroutineScope) {
        visible = scope
        scope.launch { app.installer.state.collect(::show) }
    }

    /** The system's file picker has been left. */
    override fun onActivityResult(
        requestCode: Int,
        resultCode: Int,
        data: Intent?,
    ) {
        val address = data?.data ?: return
        if (requestCode != PICK || resultCode != Activity.RESULT_OK) return
        val resolver = contentResolver
        app.installer.add { resolver.openInputStream(address) ?: throw FileNotFoundException("$address") }
    }

    private fun chooseFile() {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*")
        try {
            startActivityForResult(intent, PICK)
        } catch (_: ActivityNotFoundException) {
            say(getString(R.string.no_picker))
        }
    }

    private fun chooseAsset() {
        val names = assets.list(ASSETS).orEmpty().filter { it.endsWith(".zip") }
        if (names.isEmpty()) return say(getString(R.string.no_assets))
        AlertDialog
            .Builder(this)
            .setTitle(R.string.from_app)
            .setItems(names.toTypedArray()) { _, which -> app.installer.add { assets.open("$ASSETS/${names[which]}") } }
            .show()
    }

    private fun choose(name: String) {
        app.chosen.name = name
        refresh()
    }

    private fun askToDelete(name: String) {
        AlertDialog
            .Builder(this)
            .setMessage(getString(R.string.delete_model, name))
            .setPositiveButton(R.string.delete) { _, _ -> visible?.launch { delete(name) } }
            .setNegativeButton(R.string.keep, null)
            .show()
    }

    private suspend fun delete(name: String) {
        try {
            app.pipelines.close(name)
            withContext(Dispatchers.IO) { app.models.delete(name) }
        } catch (error: StoreException) {
            say(error.message.orEmpty())
        }
        refresh()
    }

    private suspend fun show(state: InstallState) {
        val bar = findViewById<ProgressBar>(R.id.progress)
        val total = (state as? InstallState.Downloading)?.total
        findViewById<View>(R.id.installing).isVisible(state.isBusy)
        bar.isIndeterminate = total == null
        if (state is InstallState.Downloading && total != null) {
            bar.progress = (state.bytes * bar.max / total.coerceAtLeast(1)).toInt()
        }
        findViewById<TextView>(R.id.status).text = lineOf(state)
        if (state is InstallState.Done) app.chosen.name = state.model
        if (!state.isBusy) refresh()
    }

    private fun lineOf(state: InstallState): String =
        when (state) {
            is InstallState.Idle -> ""
            is InstallState.Downloading -> getString(R.string.downloading, megabytesOf(state.bytes))
            is InstallState.Copying -> getString(R.string.copying, megabytesOf(state.bytes))
            is InstallState.Unpacking -> getString(R.string.unpacking, megabytesOf(state.bytes))
            is InstallState.Done -> getString(R.string.added, state.model)
            is InstallState.Failed -> state.line
        }

    private fun refresh() {
        visible?.launch {
            val rows = withContext(Dispatchers.IO) { ModelRow.all(app.models) }
            list.show(rows, app.chosen.name)
            findViewById<View>(R.id.empty).isVisible(rows.isEmpty())
        }
    }

    private fun say(line: String) = Toast.makeText(this, line, Toast.LENGTH_LONG).show()

    private companion object {
        /** Folder of the app's assets with bundles as .zip. */
        const val ASSETS = "models"

        /** The file picker's answer. */
        const val PICK = 1
    }
}
