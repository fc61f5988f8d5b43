package org.mobilediffusion.core

/**
 * A place in a `tokenizer.json`, which has many fields that nothing here needs.
 *
 * What is asked for and is not there, or is of another type, throws [BundleException]: it is another tokenizer.
 */
internal class Definition private constructor(
    private val value: Json?,
    private val source: Source,
) {
    private class Source(
        val where: String,
        val kind: String,
    )

    val isNull: Boolean get() = value == null || value == JsonNull
    val text: String get() = (value as? JsonText ?: foreign()).value
    val flag: Boolean get() = (value as? JsonFlag ?: foreign()).value

    /** A whole number of 0 or more: an id, or a length. */
    val whole: Int get() = value?.let(Fields::wholeOf)?.takeIf { it in 0..Int.MAX_VALUE }?.toInt() ?: foreign()
    val items: List<Definition> get() = (value as? JsonList ?: foreign()).items.map { Definition(it, source) }

    /** The texts of a list of texts, or null when it is none. */
    val textsOrNull: List<String>? get() = (value as? JsonList)?.items?.map { (it as? JsonText ?: foreign()).value }

    operator fun get(name: String): Definition = Definition((value as? JsonObject ?: foreign()).fields[name], source)

    operator fun get(place: Int): Definition = items.getOrNull(place) ?: foreign()

    /** The ids of an object of ids, in order. */
    fun ids(): Map<String, Int> =
        (value as? JsonObject ?: foreign()).fields.mapValues { (_, id) -> Definition(id, source).whole }

    /** Throws [BundleException] unless [condition] holds. */
    fun expect(
        condition: Boolean,
        expected: String,
    ) {
        if (!condition) refuse("expected $expected, got another; ${Fields.FIX}")
    }

    /** Throws [BundleException] that begins with the file's name. */
    fun refuse(problem: String): Nothing = throw BundleException("${source.where}: $problem")

    private fun foreign(): Nothing = refuse("expected a ${source.kind} tokenizer, got another; ${Fields.FIX}")

    companion object {
        fun read(
            text: String,
            where: String,
            kind: String,
        ): Definition = Definition(JsonReader.read(text, where), Source(where, kind))
    }
}
