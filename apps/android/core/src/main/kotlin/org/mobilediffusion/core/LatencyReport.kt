package org.mobilediffusion.core

/** The machine, at the start of a measurement. */
data class Conditions(
    /** The processor's name; on a phone, with the phone's. */
    val processor: String,
    /** Logical processors. */
    val cores: Int,
    /** The operating system and the architecture. */
    val system: String,
    /** Load average of the last minute; null where the system has none. */
    val load: Double?,
    /** How warm the machine is, in the system's word: "none" to "shutdown"; "" where it does not say. */
    val thermal: String = "",
) {
    internal fun json(): Json {
        val fields =
            mapOf(
                "processor" to JsonText(processor),
                "cores" to JsonNumber("$cores"),
                "system" to JsonText(system),
                "load" to (load?.let { JsonNumber(it.toString()) } ?: JsonNull),
            )
        return JsonObject(if (thermal.isEmpty()) fields else fields + ("thermal" to JsonText(thermal)))
    }
}

/** What runs the stages. */
data class RuntimeInfo(
    /** "executorch android" for example. */
    val runner: String,
    /** Version of the runtime's library. */
    val version: String,
    val threads: Int,
)

/** Times of one stage in milliseconds, one at least, in the order of the calls. */
class StageTimes(
    val stage: Stage,
    val milliseconds: List<Double>,
) {
    /** The value below which a [fraction] of the times lies; linear between the neighbours, as numpy has it. */
    fun percentile(fraction: Double): Double {
        val sorted = milliseconds.sorted()
        val place = fraction * (sorted.size - 1)
        val below = place.toInt()
        val above = minOf(below + 1, sorted.size - 1)
        return sorted[below] + (place - below) * (sorted[above] - sorted[below])
    }
}

/** Times of all stages on one machine. */
class LatencyReport(
    val conditions: Conditions,
    val info: RuntimeInfo,
    val stages: List<StageTimes>,
) {
    /** What latency.json holds: the form that the exporter writes and reads. */
    fun toJson(): String {
        val runner =
            obj(
                "runner" to JsonText(info.runner),
                "kind" to JsonText("runtime"),
                "version" to JsonText(info.version),
                "threads" to JsonNumber("${info.threads}"),
                "stages" to JsonList(stages.map(::stage)),
            )
        return obj("conditions" to conditions.json(), "runners" to JsonList(listOf(runner))).toString()
    }

    private fun stage(times: StageTimes): Json {
        val first = times.percentile(0.25)
        val third = times.percentile(0.75)
        return obj(
            "stage" to JsonText(times.stage.id),
            "median_ms" to number(times.percentile(0.5)),
            "first_quartile_ms" to number(first),
            "third_quartile_ms" to number(third),
            "runs" to JsonNumber("${times.milliseconds.size}"),
            "spread_ms" to number(third - first),
        )
    }

    private fun obj(vararg fields: Pair<String, Json>): Json = JsonObject(mapOf(*fields))

    /** Always with a point, whatever the locale. */
    private fun number(value: Double): Json = JsonNumber(value.toString())
}
