package org.mobilediffusion.core

/** A JSON object read strictly: it has exactly the fields that are named, and each is of the type that is asked for. */
internal class Fields(
    value: Json,
    private val where: String,
    vararg names: String,
) {
    private val values: Map<String, Json>

    init {
        if (value !is JsonObject) throw BundleException("$where: expected an object, got ${describe(value)}; $FIX")
        values = value.fields
        val unknown = values.keys.firstOrNull { it !in names }
        if (unknown != null) throw BundleException("$where: expected only known fields, got ${quote(unknown)}; $FIX")
        val lost = names.sorted().firstOrNull { it !in values }
        if (lost != null) throw BundleException("$where: expected the field $lost, got none; $FIX")
    }

    fun text(name: String): String = (get(name) as? JsonText ?: refuse(name, "text")).value

    fun flag(name: String): Boolean = (get(name) as? JsonFlag ?: refuse(name, "true or false")).value

    fun whole(name: String): Long = wholeOf(get(name)) ?: refuse(name, "a whole number")

    fun number(name: String): Double = (get(name) as? JsonNumber ?: refuse(name, "a number")).text.toDouble()

    fun list(name: String): List<Json> = (get(name) as? JsonList ?: refuse(name, "a list")).items

    fun obj(name: String): JsonObject = get(name) as? JsonObject ?: refuse(name, "an object")

    fun texts(name: String): List<String> =
        list(name).map { (it as? JsonText ?: refuse(name, "a list of texts")).value }

    fun numbers(name: String): List<Double> =
        list(name).map { (it as? JsonNumber ?: refuse(name, "a list of numbers")).text.toDouble() }

    fun oneOf(
        name: String,
        choices: List<String>,
    ): String = text(name).takeIf { it in choices } ?: refuse(name, "one of ${choices.joinToString()}")

    /** Throws [BundleException] naming the field. */
    fun refuse(
        name: String,
        expected: String,
    ): Nothing {
        val got = values[name]?.let(::describe) ?: "none"
        throw BundleException("$where: $name: expected $expected, got $got; $FIX")
    }

    private fun get(name: String): Json = values.getValue(name)

    companion object {
        const val FIX = "export the bundle again"

        /** A whole number of 64 bits, or null. */
        fun wholeOf(value: Json): Long? = (value as? JsonNumber)?.takeIf { it.isWhole }?.text?.toLongOrNull()

        /** A value as it may stand in an error. */
        fun describe(value: Json): String = quote(if (value is JsonText) value.value else value.toString())
    }
}
