package org.mobilediffusion.core

private val decimal = Regex("-?[0-9]{1,40}(\\.[0-9]{1,40})?([eE][-+]?[0-9]{1,4})?")

/** The seed that a text is, 0 to 18446744073709551615 in the digits 0 to 9; null for any other text. */
fun parseSeed(text: String): ULong? = text.takeIf { it.all { one -> one in '0'..'9' } }?.toULongOrNull()

/** The number that a text is, with a point as decimal separator whatever the locale; null for any other text. */
fun parseDecimal(text: String): Double? = text.takeIf(decimal::matches)?.toDouble()
