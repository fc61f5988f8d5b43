package org.mobilediffusion.core

/** BERT's tokenizer: lower case, accents stripped, words split greedily into pieces of a vocabulary. */
internal class WordPiece(
    definition: Definition,
    maxTokens: Int,
) : SingleTokenizer(maxTokens) {
    private val added: AddedTokens
    private val vocabulary: Map<String, Int>
    private val longestWord: Int
    private val start: Int
    override val unknown: Int
    override val end: Int
    override val padding: Int

    init {
        checkParts(definition)
        val model = definition["model"]
        added = AddedTokens(definition["added_tokens"], ::normalized)
        vocabulary = added.ids + model["vocab"].ids()
        longestWord = model["max_input_chars_per_word"].whole
        unknown = special(model, model["unk_token"].text)
        start = special(model, "[CLS]")
        end = special(model, "[SEP]")
        padding = special(model, "[PAD]")
    }

    private fun special(
        model: Definition,
        token: String,
    ): Int {
        model.expect(token in vocabulary, "the token $token in the vocabulary")
        return vocabulary.getValue(token)
    }

    override fun ids(prompt: IntArray): IntArray {
        val ids = IntList()
        ids += start
        for (stretch in added.split(prompt)) {
            if (stretch.id != null) ids += stretch.id
            forEachWord(stretch.text) { from, to -> addPieces(ids, stretch.text, from, to) }
        }
        ids += end
        return ids.toArray()
    }

    /** Adds the pieces of a word, the longest first; a word with a part that no piece covers is unknown as a whole. */
    private fun addPieces(
        ids: IntList,
        text: IntArray,
        from: Int,
        to: Int,
    ) {
        val before = ids.size
        var place = from
        while (to - from <= longestWord && place < to) {
            val prefix = if (place > from) "##" else ""
            val stop = (to downTo place + 1).firstOrNull { prefix + textOf(text, place, it) in vocabulary } ?: break
            ids += vocabulary.getValue(prefix + textOf(text, place, stop))
            place = stop
        }
        if (place == to) return
        ids.size = before
        ids += unknown
    }
}

/** Without control characters and accents, Chinese characters apart, in lower case. */
private fun normalized(text: IntArray): IntArray {
    val cleaned = IntList()
    for (point in text) {
        if (Unicode.isControl(point)) continue
        val apart = Unicode.isHan(point)
        if (apart) cleaned += ' '.code
        cleaned += point
        if (apart) cleaned += ' '.code
    }
    val plain = Unicode.decompose(cleaned.toArray()).filterNot(Unicode::isMark)
    return Unicode.lowerCase(plain.toIntArray())
}

/** Calls [word] with the start and the end of every word between spaces; punctuation is a word of its own. */
private inline fun forEachWord(
    text: IntArray,
    word: (Int, Int) -> Unit,
) {
    var start = 0
    for (place in 0..text.size) {
        val punctuation = place < text.size && Unicode.isPunctuation(text[place])
        if (place < text.size && !punctuation && !Unicode.isSpace(text[place])) continue
        if (place > start) word(start, place)
        if (punctuation) word(place, place + 1)
        start = place + 1
    }
}

/** Throws [BundleException] unless the parts are those of the uncased models. */
private fun checkParts(definition: Definition) {
    val model = definition["model"]
    val pieces = model["type"].text == "WordPiece" && model["continuing_subword_prefix"].text == "##"
    definition.expect(pieces, "a WordPiece model with the prefix ##")
    val normalizer = definition["normalizer"]
    val bert =
        normalizer["type"].text == "BertNormalizer" &&
            listOf("lowercase", "clean_text", "handle_chinese_chars").all { normalizer[it].flag } &&
            (normalizer["strip_accents"].isNull || normalizer["strip_accents"].flag)
    definition.expect(bert, "BERT's normalizer in lower case")
    definition.expect(definition["pre_tokenizer"]["type"].text == "BertPreTokenizer", "BERT's pre-tokenizer")
    val processor = definition["post_processor"]
    definition.expect(processor["type"].text == "TemplateProcessing", "BERT's post-processor")
    val single = processor["single"].items
    val bertTemplate =
        single.size == 3 && single[0]["SpecialToken"]["id"].text == "[CLS]" && !single[1]["Sequence"].isNull &&
            single[2]["SpecialToken"]["id"].text == "[SEP]"
    definition.expect(bertTemplate, "[CLS], the prompt and [SEP]")
}
