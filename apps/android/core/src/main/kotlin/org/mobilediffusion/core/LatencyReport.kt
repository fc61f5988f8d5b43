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
)

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
        val machine =
            obj(
                "processor" to JsonText(conditions.processor),
                "cores" to JsonNumber("${conditions.cores}"),
                "system" to JsonText(conditions.system),
                "load" to (conditions.load?.let(::number) ?: JsonNull),
            )
        val runner =
            obj(
                "runner" to JsonText(info.runner),
                "kind" to JsonText("runtime"),
                "version" to JsonText(info.version),
                "threads" to JsonNumber("${info.threads}"),
                "stages" to JsonList(stages.map(::stage)),
            )
        return obj("conditions" to machine, "runners" to JsonList(listOf(runner))).toString()
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
