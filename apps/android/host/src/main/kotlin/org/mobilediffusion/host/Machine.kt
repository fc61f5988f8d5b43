package org.mobilediffusion.host

import org.mobilediffusion.core.Conditions
import java.io.File

/** This machine as `/proc` describes it. */
object Machine {
    fun conditions(): Conditions =
        Conditions(
            processor = processor() ?: architecture(),
            cores = Runtime.getRuntime().availableProcessors(),
            system = "${System.getProperty("os.name")} ${architecture()}",
            load = load(),
        )

    private fun processor(): String? =
        File("/proc/cpuinfo")
            .takeIf { it.canRead() }
            ?.readLines()
            ?.firstOrNull { it.startsWith("model name") }
            ?.substringAfter(": ")

    private fun load(): Double? =
        File("/proc/loadavg")
            .takeIf { it.canRead() }
            ?.readText()
            ?.substringBefore(' ')
            ?.toDouble()

    /** As other languages call it. */
    private fun architecture(): String = System.getProperty("os.arch").let { if (it == "amd64") "x86_64" else it }
}
