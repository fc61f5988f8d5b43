/// BERT's tokenizer, the emoji model's: lower case, accents stripped, words split greedily into pieces of a vocabulary.
struct WordPieceTokenizer: SingleTokenizer {
  let maxTokens: Int
  let end, padding: Int32
  let unknown: Int32?
  private let start, unknownWord: Int32
  private let vocabulary: [ExactText: Int32]
  private let added: AddedTokens
  private let longestWord: Int

  /// Throws when `definition` is not such a tokenizer, or has settings that this one does not.
  init(_ definition: TokenizerDefinition, maxTokens: Int) throws {
    try Self.checkParts(definition)
    let model = try definition.part("model")
    let added = try AddedTokens(try definition.list("added_tokens"), normalize: Self.normalized)
    let vocabulary = try model.vocabulary("vocab").merging(added.ids) { own, _ in own }
    func special(_ token: String) throws -> Int32 {
      let id = vocabulary[ExactText(token)]
      try TokenizerDefinition.expect(id != nil, "the token \(token) in the vocabulary")
      return id!
    }
    longestWord = Int(try model.id("max_input_chars_per_word"))
    unknownWord = try special(try model.text("unk_token"))
    unknown = unknownWord
    (start, end, padding) = (try special("[CLS]"), try special("[SEP]"), try special("[PAD]"))
    (self.maxTokens, self.vocabulary, self.added) = (maxTokens, vocabulary, added)
  }

  func ids(of prompt: [UInt32]) -> [Int32] {
    var ids = [start]
    for stretch in added.split(prompt) {
      switch stretch {
      case .token(let id): ids.append(id)
      case .text(let text): for word in Self.words(of: text) { appendPieces(of: word, to: &ids) }
      }
    }
    return ids + [end]
  }

  /// Appends the pieces of a word, the longest first; a word with a part that no piece covers is unknown as a whole.
  private func appendPieces(of word: ArraySlice<UInt32>, to ids: inout [Int32]) {
    var pieces: [Int32] = []
    var place = word.startIndex
    while word.count <= longestWord, place < word.endIndex {
      guard let (id, end) = longestPiece(of: word, from: place) else {
        ids.append(unknownWord)
        return
      }
      pieces.append(id)
      place = end
    }
    if word.count <= longestWord { ids.append(contentsOf: pieces) } else { ids.append(unknownWord) }
  }

  private func longestPiece(of word: ArraySlice<UInt32>, from place: Int) -> (id: Int32, end: Int)? {
    let prefix = place > word.startIndex ? "##" : ""
    for end in stride(from: word.endIndex, to: place, by: -1) {
      if let id = vocabulary[ExactText(prefix + text(of: word[place..<end]))] { return (id, end) }
    }
    return nil
  }

  /// Words between spaces; punctuation is a word of its own.
  private static func words(of text: ArraySlice<UInt32>) -> [ArraySlice<UInt32>] {
    var words: [ArraySlice<UInt32>] = []
    var start = text.startIndex
    for place in text.indices {
      let isPunctuation = Characters.punctuation.contains(text[place])
      guard isPunctuation || Characters.spaces.contains(text[place]) else { continue }
      if place > start { words.append(text[start..<place]) }
      start = place + 1
      if isPunctuation { words.append(text[place...place]) }
    }
    if text.endIndex > start { words.append(text[start...]) }
    return words
  }

  /// Without control characters, Chinese characters apart, without accents, in lower case.
  @Sendable private static func normalized(_ text: [UInt32]) -> [UInt32] {
    let space: UInt32 = 0x20
    let cleaned = text.flatMap { point -> [UInt32] in
      if Characters.controls.contains(point) { return [] }
      return Characters.han.contains(point) ? [space, point, space] : [point]
    }
    let plain = NormalForms.decomposed(cleaned).filter { !Characters.marks.contains($0) }
    return Characters.lowerCased(plain)
  }

  /// Throws unless the parts are those of the uncased models.
  private static func checkParts(_ definition: TokenizerDefinition) throws {
    let model = try definition.part("model")
    let pieces = try model.text("type") == "WordPiece" && model.text("continuing_subword_prefix") == "##"
    try TokenizerDefinition.expect(pieces, "a WordPiece model with the prefix ##")
    let normalizer = try definition.part("normalizer")
    let isBert =
      try normalizer.text("type") == "BertNormalizer" && normalizer.flag("lowercase") && normalizer.flag("clean_text")
      && normalizer.flag("handle_chinese_chars") && normalizer.part("strip_accents").value != .bool(false)
    try TokenizerDefinition.expect(isBert, "BERT's normalizer in lower case")
    let splitter = try definition.part("pre_tokenizer").text("type")
    try TokenizerDefinition.expect(splitter == "BertPreTokenizer", "BERT's pre-tokenizer")
    let processor = try definition.part("post_processor")
    let isTemplate = try processor.text("type") == "TemplateProcessing" && processor.list("single").count == 3
    try TokenizerDefinition.expect(isTemplate, "BERT's post-processor")
    let single = try processor.part("single")
    let isSingle =
      try single.part(0).part("SpecialToken").text("id") == "[CLS]" && single.part(1).value["Sequence"] != nil
      && single.part(2).part("SpecialToken").text("id") == "[SEP]"
    try TokenizerDefinition.expect(isSingle, "[CLS], the prompt and [SEP]")
  }
}
