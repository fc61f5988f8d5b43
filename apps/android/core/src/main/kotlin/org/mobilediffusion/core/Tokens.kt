package org.mobilediffusion.core

/** A prompt in exactly L tokens; of SDXL's two tokenizers, the second's L numbers follow the first's. */
class Tokens(
    /** Start token, words, end token, padding. */
    val ids: IntArray,
    /** 1 where [ids] holds a token, 0 where it holds padding. */
    val mask: IntArray,
    /** Tokens before they were cut: more than L means that the prompt's end is ignored. */
    val count: Int,
    /** False when the prompt has characters, and no word that the model knows. */
    val known: Boolean,
)

/** The code points of a prompt; throws [PromptException] for text that not every language reads alike. */
internal fun checkedPoints(prompt: String): IntArray {
    if (!isWellFormed(prompt)) {
        throw PromptException(
            "expected a prompt of valid Unicode, got half of a surrogate pair: remove it or encode the prompt as UTF-8",
        )
    }
    val points = codePoints(prompt)
    if (points.size > Tokenizer.MAX_CHARACTERS) {
        throw PromptException("expected a prompt of at most 1,000,000 characters, got ${points.size}: shorten it")
    }
    val nul = points.indexOf(0)
    if (nul >= 0) {
        throw PromptException("expected a prompt without NUL bytes, got one at character $nul: remove it")
    }
    return points
}
