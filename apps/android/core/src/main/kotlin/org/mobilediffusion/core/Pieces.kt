package org.mobilediffusion.core

/** How a prompt writes weights. */
enum class PromptSyntax(
    val id: String,
) {
    /** Not at all. */
    PLAIN("plain"),

    /** As AUTOMATIC1111's web UI: (word), [word], (word:1.3), BREAK. */
    A1111("a1111"),

    /** As the library Compel: word++, word--, (words)1.3. */
    COMPEL("compel"),
}

/** Text of one weight; or a break, which ends a window. */
internal data class Piece(
    val text: String,
    val weight: Double,
    val isBreak: Boolean = false,
)

/** What both parsers share. */
internal object Pieces {
    private const val MAX_WEIGHT = 100.0
    private const val MAX_CHARACTERS = 10_000

    /** Throws [PromptException] for a prompt that is too long to be read with weights. */
    fun checkShort(prompt: String) {
        val count = prompt.codePointCount(0, prompt.length)
        if (count <= MAX_CHARACTERS) return
        throw PromptException("expected a prompt with weights of at most 10,000 characters, got $count: shorten it")
    }

    /** Neighbours of the same weight as one piece; throws [PromptException] for a weight that is too large. */
    fun fused(
        pieces: List<Piece>,
        between: String,
    ): List<Piece> {
        val result = ArrayList<Piece>()
        for (piece in pieces) {
            if (!piece.isBreak && !(Math.abs(piece.weight) <= MAX_WEIGHT)) {
                throw PromptException("prompt: expected weights from -100 to 100, got ${plain(piece.weight)}; lower it")
            }
            val last = result.lastOrNull()
            if (last == null || last.isBreak || piece.isBreak || last.weight != piece.weight) {
                result.add(piece)
            } else {
                result[result.size - 1] = Piece(last.text + between + piece.text, last.weight)
            }
        }
        return result.ifEmpty { listOf(Piece("", 1.0)) }
    }
}
