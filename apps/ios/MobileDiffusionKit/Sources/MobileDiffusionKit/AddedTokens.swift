/// Tokens that are looked for in the text before it is split into words: special ones, and those of textual inversion.
struct AddedTokens: Sendable {
  /// A stretch of a prompt: an added token, or normalized text.
  enum Stretch {
    case token(Int32)
    case text(ArraySlice<UInt32>)
  }

  private struct Token {
    let content: [UInt32]
    let id: Int32
    let stripsLeft, stripsRight: Bool
  }

  /// Ids by content.
  let ids: [ExactText: Int32]
  private let typed, normalized: [Token]
  private let normalize: @Sendable ([UInt32]) -> [UInt32]

  /// Reads `added_tokens` of a tokenizer.json; throws for a flag that is not supported here.
  init(_ entries: [JSON], normalize: @escaping @Sendable ([UInt32]) -> [UInt32]) throws {
    var (ids, typed, normalized) = ([ExactText: Int32](), [Token](), [Token]())
    for entry in entries.map(TokenizerDefinition.init) {
      let content = try entry.text("content")
      try require(
        !(try entry.flag("single_word")),
        "tokenizer.json: expected added tokens that may stand anywhere, got \(content.quoted) as a single word; "
          + "it is not supported")
      let isNormalized = try entry.flag("normalized")
      let points = content.unicodeScalars.map(\.value)
      let token = Token(
        content: isNormalized ? normalize(points) : points, id: try entry.id("id"),
        stripsLeft: try entry.flag("lstrip"), stripsRight: try entry.flag("rstrip"))
      ids[ExactText(content)] = token.id
      guard !token.content.isEmpty else { continue }
      if isNormalized { normalized.append(token) } else { typed.append(token) }
    }
    (self.ids, self.typed, self.normalized, self.normalize) = (ids, typed, normalized, normalize)
  }

  /// The prompt in order: tokens that are found as typed, then tokens that are found in normalized text.
  func split(_ prompt: [UInt32]) -> [Stretch] {
    Self.find(typed, in: prompt).flatMap { stretch -> [Stretch] in
      guard case .text(let text) = stretch else { return [stretch] }
      return Self.find(normalized, in: normalize(Array(text)))
    }
  }

  private static func longest(of tokens: [Token], in text: [UInt32], at place: Int) -> Token? {
    var longest: Token?
    for token in tokens where token.content.count > longest?.content.count ?? 0 && token.content[0] == text[place] {
      if text[place...].starts(with: token.content) { longest = token }
    }
    return longest
  }

  private static func find(_ tokens: [Token], in text: [UInt32]) -> [Stretch] {
    var found: [Stretch] = []
    var (done, place) = (0, 0)
    while place < text.count {
      guard let token = longest(of: tokens, in: text, at: place) else {
        place += 1
        continue
      }
      var (start, stop) = (place, place + token.content.count)
      while token.stripsLeft, start > done, Characters.spaces.contains(text[start - 1]) { start -= 1 }
      while token.stripsRight, stop < text.count, Characters.spaces.contains(text[stop]) { stop += 1 }
      if start > done { found.append(.text(text[done..<start])) }
      found.append(.token(token.id))
      (place, done) = (stop, stop)
    }
    if done < text.count { found.append(.text(text[done...])) }
    return found
  }
}
