package org.mobilediffusion.core

/** One comparison with what PyTorch computed. */
class GoldenResult(
    /** "tokens", the name of a stage, "free_running" or "picture", as in parity.json. */
    val check: String,
    /** From 0; null for a check without steps. */
    val step: Int?,
    /** Signal-to-noise ratio in dB, for "picture" the PSNR; null for tokens; NaN never passes. */
    val db: Double?,
    /** Largest absolute difference; null for tokens. */
    val maxAbs: Double?,
    /** The least ratio that passes; null where the manifest states none. */
    val limit: Double?,
    val passed: Boolean,
) {
    internal fun json(): Json {
        val fields = LinkedHashMap<String, Json>()
        fields["check"] = JsonText(check)
        step?.let { fields["step"] = JsonNumber("$it") }
        db?.let { fields[if (check == PICTURE) "psnr_db" else "snr_db"] = number(it) }
        maxAbs?.let { fields["max_abs"] = number(it) }
        limit?.let { fields["limit"] = number(it) }
        fields["passed"] = JsonFlag(passed)
        return JsonObject(fields)
    }

    companion object {
        /** The check of a whole drawing's picture. */
        const val PICTURE = "picture"

        /** Stands for infinity in JSON: the values are equal. */
        private const val MOST_DB = 300.0

        /** With a point whatever the locale; NaN is null. */
        private fun number(value: Double): Json =
            if (value.isNaN()) JsonNull else JsonNumber(minOf(value, MOST_DB).toString())
    }
}

/** The comparisons of one prompt. */
class GoldenPrompt(
    val prompt: String,
    val seed: ULong,
    val checks: List<GoldenResult>,
) {
    val passed: Boolean get() = checks.all { it.passed }

    internal fun json(): Json =
        JsonObject(
            mapOf(
                "prompt" to JsonText(prompt),
                "seed" to JsonText("$seed"),
                "checks" to JsonList(checks.map { it.json() }),
                "passed" to JsonFlag(passed),
            ),
        )
}

/** Every comparison of a bundle's golden vectors on one runtime: the form that the C++ runner's `--golden` prints. */
class GoldenReport(
    val model: String,
    val precision: String,
    val cases: List<GoldenPrompt>,
) {
    val passed: Boolean get() = cases.all { it.passed }

    /** The smallest ratio of the stages and steps in dB; NaN if one is. */
    val worstDb: Double
        get() =
            cases
                .flatMap { it.checks }
                .filter { it.check != GoldenResult.PICTURE }
                .mapNotNull { it.db }
                .fold(Double.POSITIVE_INFINITY) { worst, db -> if (db.isNaN() || db < worst) db else worst }

    fun toJson(): String = JsonObject(fields()).toString()

    internal fun fields(): Map<String, Json> =
        mapOf(
            "model" to JsonText(model),
            "precision" to JsonText(precision),
            "depth" to JsonText("trajectory"),
            "cases" to JsonList(cases.map { it.json() }),
            "passed" to JsonFlag(passed),
        )
}
