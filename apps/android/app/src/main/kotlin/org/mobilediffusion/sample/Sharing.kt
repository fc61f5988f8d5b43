package org.mobilediffusion.sample

import android.app.Activity
import android.content.ClipData
import android.content.Intent
import android.net.Uri
import java.io.File

/** Offers a file of the app to other apps, which may read this one file and nothing else. */
fun Activity.share(
    file: File,
    text: String,
) {
    val files = SharedFiles(filesDir)
    val address = Uri.parse("content://${ShareProvider.AUTHORITY}/${files.pathOf(file)}")
    val intent =
        Intent(Intent.ACTION_SEND)
            .setType(files.typeOf(file))
            .putExtra(Intent.EXTRA_STREAM, address)
            .putExtra(Intent.EXTRA_TEXT, text)
            .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
    intent.clipData = ClipData.newRawUri("", address) // the grant covers what the clip holds
    startActivity(Intent.createChooser(intent, getString(R.string.share)))
}
