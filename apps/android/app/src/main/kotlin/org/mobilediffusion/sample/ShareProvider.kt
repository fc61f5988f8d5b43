package org.mobilediffusion.sample

import android.content.ContentProvider
import android.content.ContentValues
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException

/** Lets an app read one shared file: nothing can be listed, written or removed. */
class ShareProvider : ContentProvider() {
    private val files by lazy { SharedFiles(checkNotNull(context).filesDir) }

    override fun onCreate() = true

    override fun openFile(
        uri: Uri,
        mode: String,
    ): ParcelFileDescriptor {
        if (mode != "r") throw FileNotFoundException("$uri: expected mode r, got $mode")
        return ParcelFileDescriptor.open(fileOf(uri), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun getType(uri: Uri): String = files.typeOf(fileOf(uri))

    override fun query(
        uri: Uri,
        projection: Array<String>?,
        selection: String?,
        selectionArgs: Array<String>?,
        sortOrder: String?,
    ): Cursor {
        val file = fileOf(uri)
        val values = mapOf(OpenableColumns.DISPLAY_NAME to file.name, OpenableColumns.SIZE to file.length())
        val columns = projection ?: values.keys.toTypedArray()
        return MatrixCursor(columns, 1).apply { addRow(columns.map { values[it] }) }
    }

    override fun insert(
        uri: Uri,
        values: ContentValues?,
    ): Uri? = throw UnsupportedOperationException()

    override fun update(
        uri: Uri,
        values: ContentValues?,
        selection: String?,
        selectionArgs: Array<String>?,
    ): Int = throw UnsupportedOperationException()

    override fun delete(
        uri: Uri,
        selection: String?,
        selectionArgs: Array<String>?,
    ): Int = throw UnsupportedOperationException()

    private fun fileOf(uri: Uri): File =
        files.find(uri.path.orEmpty()) ?: throw FileNotFoundException("$uri: expected a shared file, got none")

    companion object {
        const val AUTHORITY = "org.mobilediffusion.sample.share"
    }
}
