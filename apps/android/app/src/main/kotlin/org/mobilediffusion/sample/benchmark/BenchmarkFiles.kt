package org.mobilediffusion.sample.benchmark

import org.mobilediffusion.sample.StoreException
import org.mobilediffusion.sample.writeWhole
import java.io.File

/** Where an outcome is left for `mobile-diffusion device bench` or `device verify`: one of two files a model. */
class BenchmarkFiles(
    private val folder: File,
) {
    /** What was measured of a model, as JSON. */
    fun report(name: String): File = File(folder, "$name.json")

    /** Removes what an earlier measurement left. */
    fun clear(name: String) {
        report(name).delete()
        problem(name).delete()
    }

    /** Throws [StoreException]. */
    fun writeReport(
        name: String,
        json: String,
    ) = writeWhole(report(name), json.toByteArray(Charsets.UTF_8))

    /** Leaves one line that says why there are no times; throws [StoreException]. */
    fun writeProblem(
        name: String,
        line: String,
    ) = writeWhole(problem(name), (line.lineSequence().first() + "\n").toByteArray(Charsets.UTF_8))

    private fun problem(name: String) = File(folder, "$name.error")
}
