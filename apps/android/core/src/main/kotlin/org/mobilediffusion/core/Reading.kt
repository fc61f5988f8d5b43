package org.mobilediffusion.core

/** One window: its tokens, of SDXL the second tokenizer's behind the first's, and their weights. */
internal class Window(
    val tokens: Tokens,
    val weights: DoubleArray,
) {
    val isPlain get() = weights.all { it == 1.0 }
}

/** A prompt, or Compel's without a word of a weight below 1, and its share in the mixture. */
internal class Version(
    val share: Double,
    val windows: List<Window>,
)

/** A prompt as the text encoder reads it. */
internal class Reading(
    /** The whole prompt first. */
    val versions: List<Version>,
    /** The empty prompt, if weights lead away from it. */
    val empty: Tokens?,
    /** Whether the end of the prompt did not fit. */
    val cut: Boolean,
) {
    companion object {
        /** The least weight that counts: at 0 the share of a version without a word would be infinite. */
        private const val SMALLEST = 1e-5

        /** Reads a prompt into exactly [count] windows; throws [PromptException]. */
        fun of(
            tokenizer: Tokenizer,
            prompt: String,
            syntax: PromptSyntax,
            count: Int,
        ): Reading {
            val whole = tokenizer.encode(prompt) // which also checks the text
            if (syntax == PromptSyntax.PLAIN && count == 1) {
                val window = Window(whole, DoubleArray(whole.ids.size) { 1.0 })
                return Reading(listOf(Version(1.0, listOf(window))), null, whole.count > tokenizer.maxTokens)
            }
            if (syntax == PromptSyntax.COMPEL) return compel(tokenizer, Compel.parse(prompt), count)
            val pieces = if (syntax == PromptSyntax.A1111) A1111.parse(prompt) else listOf(Piece(prompt, 1.0))
            val (version, cut) = version(tokenizer, pieces, count, 1.0)
            return Reading(listOf(version), null, cut)
        }

        private fun compel(
            tokenizer: Tokenizer,
            pieces: List<Piece>,
            count: Int,
        ): Reading {
            val (whole, cut) = version(tokenizer, pieces, count, 1.0)
            val versions = arrayListOf(whole)
            for ((place, piece) in pieces.withIndex()) {
                if (piece.weight >= 1 || codePoints(piece.text).all(Unicode::isSpace)) continue
                val share = Math.tan((1 - maxOf(piece.weight, SMALLEST)) * Math.PI / 2)
                val others = pieces.filterIndexed { other, _ -> other != place }
                versions.add(version(tokenizer, others, count, share).first)
            }
            val isPlain = versions.all { version -> version.windows.all { it.isPlain } }
            return Reading(versions, if (isPlain) null else tokenizer.encode(""), cut)
        }

        private fun version(
            tokenizer: Tokenizer,
            pieces: List<Piece>,
            count: Int,
            share: Double,
        ): Pair<Version, Boolean> {
            val parts = tokenizer.parts.map { it to Divider(it, count).divide(pieces) }
            val windows = List(count) { joined(parts.map { (part, found) -> window(part, found.rows[it]) }) }
            return Version(share, windows) to parts.any { it.second.cut }
        }

        private fun window(
            part: SingleTokenizer,
            row: List<Divider.Weighted>,
        ): Window {
            val weights = DoubleArray(part.maxTokens) { row.getOrNull(it - 1)?.weight ?: 1.0 }
            return Window(part.window(IntArray(row.size) { row[it].id }), weights)
        }

        private fun joined(own: List<Window>): Window {
            val tokens = own.map { it.tokens }
            val ids = tokens.flatMap { it.ids.asList() }.toIntArray()
            val mask = tokens.flatMap { it.mask.asList() }.toIntArray()
            val weights = own.flatMap { it.weights.asList() }.toDoubleArray()
            return Window(Tokens(ids, mask, tokens.maxOf { it.count }, known = true), weights)
        }
    }
}
