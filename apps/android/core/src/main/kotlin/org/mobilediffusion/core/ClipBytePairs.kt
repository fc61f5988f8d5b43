package org.mobilediffusion.core

/** CLIP's tokenizer, Stable Diffusion's: words of letters, single digits or signs, and byte pairs in each. */
internal class ClipBytePairs(
    definition: Definition,
    maxTokens: Int,
) : SingleTokenizer(maxTokens) {
    private val pairs: BytePairs
    private val added: AddedTokens

    /** Ids that follow the id of an added token `x`: those of `x_1`, `x_2`, ... */
    private val companions: Map<Int, List<Int>>
    private val start: Int
    override val end: Int
    override val padding: Int

    init {
        checkParts(definition)
        pairs = BytePairs(definition["model"])
        added = AddedTokens(definition["added_tokens"], ::normalized)
        companions = companionsOf(added.ids)
        val processor = definition["post_processor"]
        start = processor["cls"][1].whole
        end = processor["sep"][1].whole
        definition.expect(!definition["padding"].isNull, "a padding section")
        padding = definition["padding"]["pad_id"].whole
    }

    override fun ids(prompt: IntArray): IntArray {
        val plain = IntList()
        plain += start
        for (stretch in added.split(prompt)) {
            if (stretch.id != null) plain += stretch.id
            ClipWords.forEach(stretch.text) { from, to -> plain += pairs.encode(textOf(stretch.text, from, to)) }
        }
        plain += end
        val ids = IntList()
        for (id in plain.toArray()) {
            ids += id
            companions[id]?.forEach { ids += it }
        }
        return ids.toArray()
    }
}

private fun companionsOf(ids: Map<String, Int>): Map<Int, List<Int>> {
    val found = HashMap<Int, List<Int>>()
    for ((content, id) in ids) {
        val following = generateSequence(1) { it + 1 }.map { ids["${content}_$it"] }.takeWhile { it != null }
        found[id] = following.filterNotNull().toList()
    }
    return found
}

/** Normal form C, runs of white space as one space, lower case. */
private fun normalized(text: IntArray): IntArray {
    val result = IntList()
    var inSpace = false
    for (point in Unicode.compose(text)) {
        val space = Unicode.isSpace(point)
        if (!space) result += point
        if (space && !inSpace) result += ' '.code
        inSpace = space
    }
    return Unicode.lowerCase(result.toArray())
}

/** Throws [BundleException] unless the parts are those that CLIP's tokenizer is exported with. */
private fun checkParts(definition: Definition) {
    val model = definition["model"]
    val bytePairs = model["type"].text == "BPE" && model["end_of_word_suffix"].text == "</w>"
    definition.expect(bytePairs, "byte pairs with the suffix </w>")
    val prefix = model["continuing_subword_prefix"]
    definition.expect(prefix.isNull || prefix.text.isEmpty(), "no prefix")
    val steps = definition["normalizer"]["normalizers"].items
    val normalizer =
        steps.map { it["type"].text } == listOf("NFC", "Replace", "Lowercase") &&
            steps[1]["pattern"]["Regex"].text == "\\s+"
    definition.expect(normalizer, "CLIP's normalizer")
    val splits = definition["pre_tokenizer"]["pretokenizers"].items
    val preTokenizer =
        splits.map { it["type"].text } == listOf("Split", "ByteLevel") && !splits[1]["add_prefix_space"].flag
    definition.expect(preTokenizer, "CLIP's pre-tokenizer")
    definition.expect(definition["post_processor"]["type"].text == "RobertaProcessing", "CLIP's post-processor")
}
