package org.mobilediffusion.core

/** Reads what a manifest says of its steps. */
internal class ScheduleReader(
    private val where: String,
) {
    fun read(value: Json): Schedule {
        val fields = Fields(value, where, *FIELDS)
        fields.oneOf("solver", SOLVERS)
        fields.oneOf("prediction", listOf("v", "epsilon", "sample", "flow"))
        fields.oneOf("spacing", listOf("trailing", "leading", "linspace"))
        fields.whole("train_steps")
        fields.text("noise")
        val rows = fields.list("update").size
        for (name in listOf("timesteps", "inputs", "noise_factors", "alphas", "sigmas")) {
            if (fields.numbers(name).size != rows) fields.refuse(name, "a number for each step")
        }
        val guidanceKind = fields.oneOf("guidance_kind", listOf("cfg", "distilled", "none"))
        val guidance = fields.number("guidance_default")
        if (guidanceKind == "none" && guidance > 1) fields.refuse("guidance_default", "1 or less without guidance")
        return Schedule(
            alphas = fields.numbers("alphas"),
            sigmas = fields.numbers("sigmas"),
            starts = readStarts(fields, rows),
            memory = readUpdate(fields),
            stochastic = fields.numbers("noise_factors").any { it != 0.0 },
            guidanceKind = guidanceKind,
            guidance = guidance,
            shares = readShares(fields, guidanceKind, rows),
            zeroNull = fields.flag("zero_null"),
        )
    }

    /** The rows that drawings make which skip 0, 1, ... steps. */
    private fun readStarts(
        fields: Fields,
        rows: Int,
    ): List<List<Int>> =
        fields.list("starts").map { path ->
            val steps = (path as? JsonList)?.items.orEmpty().map(Fields::wholeOf)
            if (steps.isEmpty() || steps.any { it == null || it !in 0 until rows }) {
                fields.refuse("starts", "rows of the table")
            }
            steps.filterNotNull().map { it.toInt() }
        }

    private fun readShares(
        fields: Fields,
        guidanceKind: String,
        rows: Int,
    ): List<Double> {
        val shares = fields.numbers("guidance_shares")
        if (shares.isNotEmpty() && (shares.size != rows || guidanceKind != "cfg")) {
            fields.refuse("guidance_shares", "a share of the guidance for each step, with guidance_kind cfg")
        }
        if (shares.any { it !in 0.0..1.0 }) fields.refuse("guidance_shares", "guidance_shares from 0 to 1")
        return shares
    }

    /** How many tensors the solver remembers: the update of every step has K rows of K + 1 numbers. */
    private fun readUpdate(fields: Fields): Int {
        val rows = fields.list("update").map { rowsOf(it, fields) }.toSet()
        return rows.singleOrNull()?.minus(1) ?: fields.refuse("update", "matrices of one size")
    }

    private fun rowsOf(
        matrix: Json,
        fields: Fields,
    ): Int {
        val rows = (matrix as? JsonList)?.items.orEmpty()
        if (rows.isEmpty()) fields.refuse("update", "a matrix for every step")
        val good =
            rows.all {
                it is JsonList && it.items.size == rows.size + 1 &&
                    it.items.all { one -> one is JsonNumber }
            }
        if (!good) fields.refuse("update", "matrices of K rows and K + 1 columns")
        return rows.size
    }

    private companion object {
        val SOLVERS =
            listOf(
                "ddim",
                "dpm-solver++",
                "euler",
                "pndm",
                "lcm",
                "ddpm",
                "dpm-solver",
                "sde-dpm-solver",
                "sde-dpm-solver++",
                "deis",
                "unipc",
                "lms",
                "euler-ancestral",
                "heun",
                "kdpm2",
                "kdpm2-ancestral",
                "tcd",
            )
        val FIELDS =
            arrayOf(
                "solver",
                "prediction",
                "spacing",
                "train_steps",
                "timesteps",
                "inputs",
                "update",
                "noise_factors",
                "alphas",
                "sigmas",
                "starts",
                "guidance_kind",
                "guidance_default",
                "guidance_shares",
                "zero_null",
                "noise",
            )
    }
}
