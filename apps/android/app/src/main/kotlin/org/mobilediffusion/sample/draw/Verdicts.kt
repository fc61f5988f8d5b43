package org.mobilediffusion.sample.draw

import org.mobilediffusion.sample.writeWhole
import java.io.File
import java.io.IOException

/**
 * Which runtimes have drawn a model's golden pictures as PyTorch draws them, so that drawing prefers one of them.
 *
 * A file per model; it counts as long as model and ExecuTorch are the same as then.
 */
class Verdicts(
    private val folder: File,
    /** Version of the ExecuTorch library. */
    private val version: String,
) {
    /** Keeps the [runtimes] that passed, the one to prefer first; [hash] is the manifest's.  Throws StoreException. */
    fun write(
        model: String,
        hash: String,
        runtimes: List<String>,
    ) = writeWhole(file(model), (listOf(hash, version) + runtimes).joinToString("\n").toByteArray(Charsets.UTF_8))

    /** The runtime to prefer; null when none passed, or nothing was compared since the model or the library changed. */
    fun preferred(
        model: String,
        hash: String,
    ): String? {
        val lines =
            try {
                file(model).readLines()
            } catch (_: IOException) {
                return null
            }
        return lines.getOrNull(2)?.takeIf { lines[0] == hash && lines[1] == version }
    }

    private fun file(model: String) = File(folder, "$model.passed")
}
