package org.mobilediffusion.sample

import java.io.File

/** Which files other apps may be given: `history/NAME.png` and `benchmark/NAME.json` below the app's own folder. */
class SharedFiles(
    private val root: File,
) {
    /** The file of an address's path; null for everything that is not shared. */
    fun find(path: String): File? {
        val (folder, name) = path.removePrefix("/").split('/').takeIf { it.size == 2 } ?: return null
        if (name.startsWith(".") || types.none { it.folder == folder && name.endsWith(it.suffix) }) return null
        return File(File(root, folder), name).takeIf { it.isFile && it.canonicalFile.parentFile == folderOf(folder) }
    }

    /** The MIME type of a shared file. */
    fun typeOf(file: File): String = types.first { file.name.endsWith(it.suffix) }.type

    /** The path under which a file is shared. */
    fun pathOf(file: File): String = "${file.parentFile?.name}/${file.name}"

    private fun folderOf(name: String) = File(root, name).canonicalFile

    private class Kind(
        val folder: String,
        val suffix: String,
        val type: String,
    )

    private companion object {
        val types =
            listOf(Kind("history", ".png", "image/png"), Kind("benchmark", ".json", "application/json"))
    }
}
