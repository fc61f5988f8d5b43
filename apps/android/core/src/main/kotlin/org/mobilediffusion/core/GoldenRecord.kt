package org.mobilediffusion.core

/** What a comparison on one unit gave: distances, or the line that says why there are none. */
class GoldenUnit(
    val runtime: RuntimeSpec,
    /** Version of the runtime's library. */
    val version: String,
    val report: GoldenReport?,
    val error: String = "",
) {
    val passed: Boolean get() = report?.passed == true

    internal fun json(): Json =
        JsonObject(
            mapOf(
                "runtime" to JsonText(runtime.name),
                "unit" to JsonText(runtime.unit),
                "version" to JsonText(version),
                "report" to (report?.let { JsonObject(it.fields()) } ?: JsonNull),
                "error" to JsonText(error),
            ),
        )
}

/** The comparisons on every unit: what `mobile-diffusion device verify` reads. */
class GoldenRecord(
    val conditions: Conditions,
    val units: List<GoldenUnit>,
) {
    fun toJson(): String =
        JsonObject(
            mapOf(
                "schema_version" to JsonNumber("1"),
                "conditions" to conditions.json(),
                "units" to JsonList(units.map { it.json() }),
            ),
        ).toString()
}
