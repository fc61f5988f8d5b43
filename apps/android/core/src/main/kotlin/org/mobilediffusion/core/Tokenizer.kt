package org.mobilediffusion.core

/** Makes tokens of prompts; ids are those of the checkpoint that the tokenizer comes from. */
abstract class Tokenizer internal constructor(
    /** L, the length of every encoded prompt. */
    val maxTokens: Int,
) {
    internal abstract val end: Int
    internal abstract val padding: Int

    /** The token of words that the vocabulary lacks; null for CLIP's, which lacks none. */
    internal open val unknown: Int? = null

    /** All ids of a prompt given as code points, start and end included. */
    internal abstract fun ids(prompt: IntArray): IntArray

    /**
     * The prompt in exactly [maxTokens] tokens; a longer one is cut, its end token kept.
     *
     * Throws [PromptException] for NUL, half of a surrogate pair, or over [MAX_CHARACTERS] characters.
     */
    fun encode(prompt: String): Tokens {
        val points = checkedPoints(prompt)
        val found = ids(points)
        val kept = found.copyOf(minOf(found.size, maxTokens))
        if (kept.size < found.size) kept[maxTokens - 1] = end
        return Tokens(
            ids = IntArray(maxTokens) { if (it < kept.size) kept[it] else padding },
            mask = IntArray(maxTokens) { if (it < kept.size) 1 else 0 },
            count = found.size,
            known = isKnown(found, points),
        )
    }

    /** Whether the tokens between start and end tell the model anything, or there is nothing to tell. */
    private fun isKnown(
        ids: IntArray,
        prompt: IntArray,
    ): Boolean = (1 until ids.size - 1).any { ids[it] != unknown } || prompt.all(Unicode::isSpace)

    companion object {
        /** Characters of the longest prompt. */
        const val MAX_CHARACTERS = 1_000_000

        private val LENGTHS = 3L..(1L shl 20)

        /** Reads the text of a `tokenizer.json` of the kind that the manifest names; [BundleException] for another. */
        fun read(
            spec: TokenizerSpec,
            text: String,
            where: String = "tokenizer.json",
        ): Tokenizer {
            val definition = Definition.read(text, where, spec.kind)
            if (spec.maxTokens !in LENGTHS) {
                throw BundleException(
                    "${Manifest.NAME}: tokenizer: expected max_tokens of at least 3 (start, a word, end), " +
                        "got ${spec.maxTokens}; ${Fields.FIX}",
                )
            }
            return when (spec.kind) {
                "wordpiece" -> WordPiece(definition, spec.maxTokens.toInt())

                "clip-bpe" -> ClipBytePairs(definition, spec.maxTokens.toInt())

                else -> throw BundleException(
                    "${Manifest.NAME}: expected a tokenizer of kind wordpiece or clip-bpe, got ${quote(spec.kind)}; " +
                        "update this program",
                )
            }
        }
    }
}
