import Foundation

/// A prompt as the text encoder reads it: windows of tokens, with a weight per token.
struct Reading: Sendable {
  /// One window: its tokens, of SDXL the second tokenizer's behind the first's, and their weights.
  struct Window: Sendable {
    let tokens: Tokens
    let weights: [Double]

    var isPlain: Bool { weights.allSatisfy { $0 == 1 } }
  }

  /// A prompt, or Compel's without a word of a weight below 1, and its share in the mixture.
  struct Version: Sendable {
    let share: Double
    let windows: [Window]

    var isPlain: Bool { windows.allSatisfy(\.isPlain) }
  }

  /// The whole prompt first.
  let versions: [Version]
  /// The empty prompt, if weights lead away from it.
  let empty: Tokens?
  /// Whether the end of the prompt did not fit.
  let isCut: Bool

  /// The least weight that counts: at 0 the share of a version without a word would be infinite.
  private static let smallest = 1e-5

  /// Reads a prompt into exactly `count` windows; throws for one that cannot be used.
  init(_ prompt: String, _ syntax: PromptSyntax, windows count: Int, by tokenizer: any Tokenizer) throws {
    let whole = try tokenizer.encode(prompt)  // which also checks the text
    if syntax == .plain, count == 1 {
      let window = Window(tokens: whole, weights: [Double](repeating: 1, count: whole.ids.count))
      versions = [Version(share: 1, windows: [window])]
      (empty, isCut) = (nil, whole.count > tokenizer.maxTokens)
      return
    }
    let pieces: [Piece]
    switch syntax {
    case .plain: pieces = [Piece(prompt.points)]
    case .a1111: pieces = try A1111.parse(prompt.points)
    case .compel: pieces = try Compel.parse(prompt.points)
    }
    let parts = try Self.parts(of: tokenizer)
    let (first, isCut) = Self.version(pieces, share: 1, count, parts)
    var versions = [first]
    for (place, piece) in pieces.enumerated() where syntax == .compel && piece.weight < 1 {
      if piece.text.allSatisfy(Characters.spaces.contains) { continue }
      var others = pieces
      others.remove(at: place)
      let share = tan((1 - max(piece.weight, Self.smallest)) * Double.pi / 2)
      versions.append(Self.version(others, share: share, count, parts).version)
    }
    let isWeighted = syntax == .compel && !versions.allSatisfy(\.isPlain)
    (self.versions, self.isCut) = (versions, isCut)
    empty = isWeighted ? try tokenizer.encode("") : nil
  }

  /// The tokenizer of each text encoder.
  private static func parts(of tokenizer: any Tokenizer) throws -> [any SingleTokenizer] {
    if let pair = tokenizer as? TokenizerPair { return try parts(of: pair.first) + parts(of: pair.second) }
    guard let single = tokenizer as? any SingleTokenizer else {
      throw DiffusionError("tokenizer: expected a bundle's own for weights and windows, got another; open the bundle")
    }
    return [single]
  }

  private static func version(
    _ pieces: [Piece], share: Double, _ count: Int, _ parts: [any SingleTokenizer]
  ) -> (version: Version, isCut: Bool) {
    let divided = parts.map { part in
      var divider = Divider(part, count)
      return divider.divide(pieces)
    }
    let windows = (0..<count).map { place in
      joined(zip(parts, divided).map { part, found in window(part, found.rows[place]) })
    }
    return (Version(share: share, windows: windows), divided.contains(where: \.isCut))
  }

  private static func window(_ part: any SingleTokenizer, _ row: [Divider.Weighted]) -> Window {
    var weights = [Double](repeating: 1, count: part.maxTokens)
    for (place, each) in row.enumerated() { weights[place + 1] = each.weight }
    return Window(tokens: part.window(row.map(\.id)), weights: weights)
  }

  private static func joined(_ own: [Window]) -> Window {
    let tokens = own.map(\.tokens)
    let all = Tokens(
      ids: tokens.flatMap(\.ids), mask: tokens.flatMap(\.mask), count: tokens.map(\.count).max() ?? 0, isKnown: true)
    return Window(tokens: all, weights: own.flatMap(\.weights))
  }
}

/// Fills windows as the web UI does: the last is cut, and empty ones follow a short prompt.
private struct Divider {
  /// A token and its weight.
  struct Weighted {
    let id: Int32
    let weight: Double
  }

  /// Tokens behind the last comma of a full window, at most, that move to the next window.
  private static let backtrack = 20

  private let part: any SingleTokenizer
  private let count: Int
  private let capacity: Int
  private let comma: Int32?
  private var done: [[Weighted]] = []
  private var row: [Weighted] = []
  private var lastComma: Int?

  init(_ part: any SingleTokenizer, _ count: Int) {
    (self.part, self.count, capacity) = (part, count, part.maxTokens - 2)
    let commas = part.words(",".points)
    comma = commas.count == 1 ? commas[0] : nil
  }

  /// Divides a prompt into exactly `count` windows; a divider is used once.
  mutating func divide(_ pieces: [Piece]) -> (rows: [[Weighted]], isCut: Bool) {
    for (place, piece) in pieces.enumerated() {
      if !piece.isBreak {
        guard add(piece) else { return finished(isCut: true) }
      } else if done.count + 1 < count {
        close(row.count)
      } else {
        return finished(isCut: pieces[place...].contains { !$0.isBreak && !part.words($0.text).isEmpty })
      }
    }
    return finished(isCut: false)
  }

  /// False when tokens do not fit.
  private mutating func add(_ piece: Piece) -> Bool {
    for id in part.words(piece.text) {
      if row.count == capacity, done.count + 1 == count { return false }
      if id == comma {
        lastComma = row.count
      } else if row.count == capacity, let lastComma, row.count - lastComma <= Self.backtrack {
        close(lastComma + 1)
      }
      if row.count == capacity { close(capacity) }
      row.append(Weighted(id: id, weight: piece.weight))
    }
    return true
  }

  private mutating func close(_ size: Int) {
    done.append(Array(row.prefix(size)))
    row.removeFirst(size)
    lastComma = nil
  }

  private func finished(isCut: Bool) -> (rows: [[Weighted]], isCut: Bool) {
    (done + [row] + [[Weighted]](repeating: [], count: count - done.count - 1), isCut)
  }
}
