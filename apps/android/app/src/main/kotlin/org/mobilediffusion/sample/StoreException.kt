package org.mobilediffusion.sample

/** What cannot be kept, fetched or shared: [message] is one line, as the core's errors are. */
open class StoreException(
    message: String,
    cause: Throwable? = null,
) : Exception(message, cause)

/** What was typed or received, as it may stand in an error: quoted, cut, one line. */
fun quoted(text: String): String = "'${text.take(SHOWN).map { if (it.isISOControl()) '?' else it }.joinToString("")}'"

private const val SHOWN = 60
