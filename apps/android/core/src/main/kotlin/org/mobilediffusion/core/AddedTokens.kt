package org.mobilediffusion.core

/** A stretch of a prompt: an added token's [id], or normalized text as code points. */
internal class Stretch(
    val id: Int?,
    val text: IntArray,
)

/** Tokens that are looked for before a prompt is split into words: special ones, and those of textual inversion. */
internal class AddedTokens(
    list: Definition,
    private val normalize: (IntArray) -> IntArray,
) {
    private class Token(
        val content: IntArray,
        val id: Int,
        val stripLeft: Boolean,
        val stripRight: Boolean,
    )

    private val typed = ArrayList<Token>()
    private val normalized = ArrayList<Token>()

    /** Ids by content. */
    val ids = LinkedHashMap<String, Int>()

    init {
        list.items.forEach(::add)
    }

    private fun add(entry: Definition) {
        val content = entry["content"].text
        if (entry["single_word"].flag) {
            entry.refuse(
                "expected added tokens that may stand anywhere, got ${quote(content)} as a single word; " +
                    "it is not supported",
            )
        }
        val inNormalized = entry["normalized"].flag
        val points = if (inNormalized) normalize(codePoints(content)) else codePoints(content)
        val token = Token(points, entry["id"].whole, entry["lstrip"].flag, entry["rstrip"].flag)
        if (points.isNotEmpty()) (if (inNormalized) normalized else typed) += token
        ids[content] = token.id
    }

    /** The prompt in order: tokens that are found as typed, then tokens that are found in normalized text. */
    fun split(prompt: IntArray): List<Stretch> =
        find(typed, prompt).flatMap { if (it.id != null) listOf(it) else find(normalized, normalize(it.text)) }

    private fun find(
        tokens: List<Token>,
        text: IntArray,
    ): List<Stretch> {
        val found = ArrayList<Stretch>()
        var done = 0
        var place = 0
        while (place < text.size) {
            val token = longestAt(tokens, text, place)
            if (token == null) {
                place++
                continue
            }
            var start = place
            var stop = place + token.content.size
            while (token.stripLeft && start > done && Unicode.isSpace(text[start - 1])) start--
            while (token.stripRight && stop < text.size && Unicode.isSpace(text[stop])) stop++
            if (start > done) found += Stretch(null, text.copyOfRange(done, start))
            found += Stretch(token.id, IntArray(0))
            done = stop
            place = stop
        }
        if (done < text.size) found += Stretch(null, text.copyOfRange(done, text.size))
        return found
    }

    private fun longestAt(
        tokens: List<Token>,
        text: IntArray,
        place: Int,
    ): Token? = tokens.filter { startsWith(text, place, it.content) }.maxByOrNull { it.content.size }
}

/** Whether [text] holds [part] at a place. */
internal fun startsWith(
    text: IntArray,
    place: Int,
    part: IntArray,
): Boolean {
    if (place + part.size > text.size) return false
    return part.indices.all { text[place + it] == part[it] }
}
