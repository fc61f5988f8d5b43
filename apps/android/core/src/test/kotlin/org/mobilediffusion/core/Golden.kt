package org.mobilediffusion.core

import java.io.File
import java.security.MessageDigest
import java.util.Locale

/** The files that all languages are compared with; `assets/golden/README.md` describes them. */
internal object Golden {
    private val root: File =
        generateSequence(File(System.getProperty("user.dir")).absoluteFile) { it.parentFile }
            .first { File(it, "assets/golden/make.py").isFile }

    /** A file, by its path relative to the folder. */
    fun file(path: String): File = File(root, "assets/golden/$path").canonicalFile

    fun read(path: String): JsonObject = JsonReader.read(file(path).readText(), path) as JsonObject

    fun sha256(bytes: ByteArray): String =
        MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(Locale.ROOT, it) }
}

internal operator fun Json.get(name: String): Json = (this as JsonObject).fields.getValue(name)

internal val Json.items: List<Json> get() = (this as JsonList).items
internal val Json.text: String get() = (this as JsonText).value
internal val Json.int: Int get() = (this as JsonNumber).text.toInt()
internal val Json.ints: List<Int> get() = items.map { it.int }
