package org.mobilediffusion.core

/** A JSON value; `toString` is compact JSON. */
internal sealed interface Json

internal data object JsonNull : Json {
    override fun toString() = "null"
}

internal data class JsonFlag(
    val value: Boolean,
) : Json {
    override fun toString() = value.toString()
}

/** A number as it is written: what it holds is decided where it is read. */
internal data class JsonNumber(
    val text: String,
) : Json {
    /** Whether it is written without a fraction and an exponent. */
    val isWhole: Boolean get() = text.none { it in ".eE" }

    override fun toString() = text
}

internal data class JsonText(
    val value: String,
) : Json {
    override fun toString() = jsonText(value)
}

internal data class JsonList(
    val items: List<Json>,
) : Json {
    override fun toString() = items.joinToString(",", "[", "]")
}

internal data class JsonObject(
    val fields: Map<String, Json>,
) : Json {
    override fun toString() = fields.entries.joinToString(",", "{", "}") { (name, value) -> "${jsonText(name)}:$value" }
}

/** A text in quotation marks, as JSON has it. */
internal fun jsonText(text: String): String {
    val quoted = StringBuilder("\"")
    for (char in text) {
        when {
            char == '"' || char == '\\' -> quoted.append('\\').append(char)
            char < ' ' || char == '\u007f' || char.isSurrogate() -> quoted.append(escaped(char))
            else -> quoted.append(char)
        }
    }
    return quoted.append('"').toString()
}

private fun escaped(char: Char): String = "\\u" + char.code.toString(16).padStart(4, '0')
