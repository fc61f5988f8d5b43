package org.mobilediffusion.sample

import android.app.Activity
import android.app.AlertDialog
import android.view.LayoutInflater
import android.widget.EditText

/** Asks for an address and the SHA-256 of what lies there. */
object DownloadDialog {
    fun show(
        activity: Activity,
        onAccepted: (String, String) -> Unit,
    ) {
        val fields = LayoutInflater.from(activity).inflate(R.layout.download, null)
        val address = fields.findViewById<EditText>(R.id.address)
        val hash = fields.findViewById<EditText>(R.id.hash)
        AlertDialog
            .Builder(activity)
            .setTitle(R.string.from_network)
            .setView(fields)
            .setPositiveButton(R.string.download) { _, _ -> onAccepted("${address.text}", "${hash.text}") }
            .setNegativeButton(R.string.cancel, null)
            .show()
    }
}
