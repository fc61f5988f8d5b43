/// CLIP's byte-pair tokenizer, Stable Diffusion's.
///
/// A token `x` with companions `x_1`, `x_2`, ... (textual inversion with several vectors) becomes all of them.
struct ClipTokenizer: SingleTokenizer {
  let maxTokens: Int
  let end, padding: Int32
  private let start: Int32
  private let pairs: BytePairs
  private let added: AddedTokens
  private let companions: [Int32: [Int32]]

  /// Throws when `definition` is not such a tokenizer.
  init(_ definition: TokenizerDefinition, maxTokens: Int) throws {
    try Self.checkParts(definition)
    pairs = try BytePairs(try definition.part("model"))
    added = try AddedTokens(try definition.list("added_tokens"), normalize: Self.normalized)
    let processor = try definition.part("post_processor")
    start = try TokenizerDefinition.id(try processor.part("cls").part(1).value)
    end = try TokenizerDefinition.id(try processor.part("sep").part(1).value)
    let section = try definition.part("padding")
    try TokenizerDefinition.expect(section.value.members != nil, "a padding section")
    padding = try section.id("pad_id")
    companions = Self.companions(added.ids)
    self.maxTokens = maxTokens
  }

  func ids(of prompt: [UInt32]) -> [Int32] {
    var ids = [start]
    for stretch in added.split(prompt) {
      switch stretch {
      case .token(let id): ids.append(id)
      case .text(let text): for word in ClipWords.split(text) { ids.append(contentsOf: pairs.encode(word)) }
      }
    }
    return (ids + [end]).flatMap { [$0] + (companions[$0] ?? []) }
  }

  /// Ids that follow the id of an added token.
  private static func companions(_ ids: [ExactText: Int32]) -> [Int32: [Int32]] {
    var found: [Int32: [Int32]] = [:]
    for (content, id) in ids {
      var following: [Int32] = []
      while let next = ids[ExactText("\(content.text)_\(following.count + 1)")] { following.append(next) }
      if !following.isEmpty { found[id] = following }
    }
    return found
  }

  /// Normal form C, runs of white space as one space, lower case.
  @Sendable private static func normalized(_ text: [UInt32]) -> [UInt32] {
    var result: [UInt32] = []
    var isInSpace = false
    for point in NormalForms.composed(text) {
      let isSpace = Characters.spaces.contains(point)
      if !isSpace { result.append(point) }
      if isSpace, !isInSpace { result.append(0x20) }
      isInSpace = isSpace
    }
    return Characters.lowerCased(result)
  }

  /// Throws unless the parts are those that the exporter writes.
  private static func checkParts(_ definition: TokenizerDefinition) throws {
    let model = try definition.part("model")
    let isBytePairs = try model.text("type") == "BPE" && model.text("end_of_word_suffix") == "</w>"
    try TokenizerDefinition.expect(isBytePairs, "byte pairs with the suffix </w>")
    let prefix = try model.part("continuing_subword_prefix").value
    try TokenizerDefinition.expect(prefix == .text("") || prefix == .null, "no prefix")
    let steps = try definition.part("normalizer").list("normalizers")
    let space = JSON.object([JSON.Member(name: "Regex", value: .text("\\s+"))])
    let isNormalizer =
      steps.map { $0["type"]?.text } == ["NFC", "Replace", "Lowercase"] && steps[1]["pattern"] == space
    try TokenizerDefinition.expect(isNormalizer, "CLIP's normalizer")
    let splits = try definition.part("pre_tokenizer").list("pretokenizers")
    let isSplitter =
      splits.map { $0["type"]?.text } == ["Split", "ByteLevel"] && splits[1]["add_prefix_space"] == .bool(false)
    try TokenizerDefinition.expect(isSplitter, "CLIP's pre-tokenizer")
    let processor = try definition.part("post_processor").text("type")
    try TokenizerDefinition.expect(processor == "RobertaProcessing", "CLIP's post-processor")
  }
}
