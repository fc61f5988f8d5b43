package org.mobilediffusion.core

/** Makes tokens of prompts; ids are those of the checkpoint that the tokenizer comes from. */
abstract class Tokenizer internal constructor(
    /** L, the length of every encoded prompt. */
    val maxTokens: Int,
) {
    /**
     * The prompt in exactly [maxTokens] tokens per text encoder; a longer one is cut, its end token kept.
     *
     * Throws [PromptException] for NUL, half of a surrogate pair, or over [MAX_CHARACTERS] characters.
     */
    abstract fun encode(prompt: String): Tokens

    /** The tokenizer of each text encoder. */
    internal abstract val parts: List<SingleTokenizer>

    companion object {
        /** Characters of the longest prompt. */
        const val MAX_CHARACTERS = 1_000_000

        /** The kind of SDXL's two tokenizers. */
        const val PAIR = "clip-bpe-pair"

        private val LENGTHS = 3L..(1L shl 20)

        /**
         * Reads the texts of the files that the manifest names, of the kind that it names.
         *
         * Throws [BundleException] for another kind.
         */
        fun read(
            spec: TokenizerSpec,
            texts: List<String>,
            places: List<String> = spec.files,
        ): Tokenizer {
            if (spec.kind != PAIR) return read(spec, spec.kind, texts.first(), places.first())
            val (first, second) = texts.zip(places).map { (text, place) -> read(spec, "clip-bpe", text, place) }
            return TokenizerPair(first, second)
        }

        private fun read(
            spec: TokenizerSpec,
            kind: String,
            text: String,
            where: String,
        ): Tokenizer {
            val definition = Definition.read(text, where, kind)
            if (spec.maxTokens !in LENGTHS) {
                throw BundleException(
                    "${Manifest.NAME}: tokenizer: expected max_tokens of at least 3 (start, a word, end), " +
                        "got ${spec.maxTokens}; ${Fields.FIX}",
                )
            }
            return when (kind) {
                "wordpiece" -> WordPiece(definition, spec.maxTokens.toInt())

                "clip-bpe" -> ClipBytePairs(definition, spec.maxTokens.toInt())

                else -> throw BundleException(
                    "${Manifest.NAME}: expected a tokenizer of kind wordpiece, clip-bpe or $PAIR, " +
                        "got ${quote(kind)}; update this program",
                )
            }
        }
    }
}

/** The tokenizers of SDXL's two text encoders, which read the same prompt. */
internal class TokenizerPair(
    private val first: Tokenizer,
    private val second: Tokenizer,
) : Tokenizer(first.maxTokens) {
    override val parts get() = first.parts + second.parts

    override fun encode(prompt: String): Tokens {
        val both = listOf(first.encode(prompt), second.encode(prompt))
        return Tokens(
            ids = both[0].ids + both[1].ids,
            mask = both[0].mask + both[1].mask,
            count = both.maxOf { it.count },
            known = both[0].known,
        )
    }
}

/** One file's tokenizer. */
internal abstract class SingleTokenizer(
    maxTokens: Int,
) : Tokenizer(maxTokens) {
    internal abstract val end: Int
    internal abstract val padding: Int

    /** The token of words that the vocabulary lacks; null for CLIP's, which lacks none. */
    internal open val unknown: Int? = null

    /** All ids of a prompt given as code points, start and end included. */
    internal abstract fun ids(prompt: IntArray): IntArray

    override fun encode(prompt: String): Tokens {
        val points = checkedPoints(prompt)
        val found = ids(points)
        return framed(found, isKnown(found, points))
    }

    override val parts get() = listOf(this)

    /** All ids of a text, without start and end token. */
    fun words(text: String): IntArray = ids(codePoints(text)).let { it.copyOfRange(1, it.size - 1) }

    /** At most [maxTokens] - 2 ids between start and end token, padded. */
    fun window(words: IntArray): Tokens {
        val (start, end) = ids(IntArray(0)).asList()
        return framed(intArrayOf(start) + words + end, known = true)
    }

    private fun framed(
        found: IntArray,
        known: Boolean,
    ): Tokens {
        val kept = found.copyOf(minOf(found.size, maxTokens))
        if (kept.size < found.size) kept[maxTokens - 1] = end
        return Tokens(
            ids = IntArray(maxTokens) { if (it < kept.size) kept[it] else padding },
            mask = IntArray(maxTokens) { if (it < kept.size) 1 else 0 },
            count = found.size,
            known = known,
        )
    }

    /** Whether the tokens between start and end tell the model anything, or there is nothing to tell. */
    private fun isKnown(
        ids: IntArray,
        prompt: IntArray,
    ): Boolean = (1 until ids.size - 1).any { ids[it] != unknown } || prompt.all(Unicode::isSpace)
}
