/// Weights as the library Compel writes them: word++, word--, (some words)1.3, nested brackets and quotes.
///
/// What does not parse, such as an unbalanced bracket, is text up to the next space.
struct Compel {
  /// What was read, and where it ends.
  private struct Read {
    var pieces: [Piece]
    var end: Int
  }

  private static let space = Set(" \t\n\r\u{B}\u{C}".points)
  private static let syntax = Set("(),.\"+-=".points)
  private static let reserved = space.union(syntax)
  private static let (plus, minus, point, comma) = (UInt32(0x2B), UInt32(0x2D), UInt32(0x2E), UInt32(0x2C))
  private static let (open, close, quote, backslash) = (UInt32(0x28), UInt32(0x29), UInt32(0x22), UInt32(0x5C))
  private static let refused = [".attend(", ".swap(", ".blend(", ".and(", ".add(", "withLora(", "useLora("]
  private static let depth = 100

  private let text: [UInt32]

  /// The pieces of a prompt, in order.
  static func parse(_ prompt: [UInt32]) throws -> [Piece] {
    try Piece.checkShort(prompt)
    for name in refused {
      let isThere = prompt.indices.contains { prompt[$0...].starts(with: name.points) }
      try require(!isThere, "prompt: expected weights alone of Compel's syntax, got \"\(name)\"; remove it")
    }
    return try Piece.fused(try Compel(text: spaced(prompt)).parse(), between: [0x20])
  }

  /// The text with a space after each comma that has none; of two commas in a row only after the first.
  private static func spaced(_ text: [UInt32]) -> [UInt32] {
    var result: [UInt32] = []
    var place = 0
    while place < text.count {
      result.append(text[place])
      place += 1
      guard result.last == comma, place < text.count, !Characters.spaces.contains(text[place]) else { continue }
      result += [0x20, text[place]]
      place += 1
    }
    return result
  }

  private func parse() throws -> [Piece] {
    var pieces: [Piece] = []
    var place = 0
    while place < text.count {
      if Self.space.contains(text[place]) {
        place += 1
        continue
      }
      let found = try part(place, 0) ?? freeWord(place)
      pieces += found.pieces
      place = found.end
    }
    return pieces
  }

  /// Brackets, quotes or a word: with an operator, or of the first two also without.
  private func part(_ place: Int, _ depth: Int) throws -> Read? {
    if let group = try brackets(place, depth) ?? quotes(place, depth) {
      return weighted(group, numbers: true) ?? group
    }
    return word(place).flatMap { weighted($0, numbers: false) }
  }

  /// The target with the weight of the operator that follows it at once; nil without one.
  private func weighted(_ target: Read, numbers: Bool) -> Read? {
    var result = target
    var weight = 1.0
    if let sign = text.at(target.end), sign == Self.plus || sign == Self.minus {
      while text.at(result.end) == sign {
        weight *= sign == Self.plus ? 1.1 : 0.9
        result.end += 1
      }
    } else {
      if numbers { result.end = numberEnd(target.end) }
      guard result.end > target.end else { return nil }
      weight = decimal(MobileDiffusionKit.text(of: text[target.end..<result.end]))
    }
    for place in result.pieces.indices { result.pieces[place].weight *= weight }
    return result
  }

  /// The end of "12", "1.", "1.5" or ".5" at a place.
  private func numberEnd(_ place: Int) -> Int {
    let whole = digitsEnd(place)
    guard text.at(whole) == Self.point, whole > place || isDigit(text.at(whole + 1)) else { return whole }
    return digitsEnd(whole + 1)
  }

  private func digitsEnd(_ place: Int) -> Int {
    var end = place
    while isDigit(text.at(end)) { end += 1 }
    return end
  }

  private func brackets(_ place: Int, _ depth: Int) throws -> Read? {
    guard text[place] == Self.open else { return nil }
    let found = try inside(place + 1, depth + 1)
    return text.at(found.end) == Self.close ? Read(pieces: found.pieces, end: found.end + 1) : nil
  }

  private func quotes(_ place: Int, _ depth: Int) throws -> Read? {
    guard text[place] == Self.quote else { return nil }
    var end = place + 1
    while let one = text.at(end), one != Self.quote, one != 0x0A, one != 0x0D {
      end += one == Self.backslash && text.at(end + 1) == Self.quote ? 2 : 1
    }
    guard text.at(end) == Self.quote else { return nil }
    let content = Compel(text: Array(text[(place + 1)..<end]))
    let found = try content.inside(0, depth + 1)
    guard found.end == content.text.count else { return nil }
    return Read(pieces: found.pieces.isEmpty ? [Piece([])] : found.pieces, end: end + 1)
  }

  /// As much as can be read in brackets or quotes; it ends in front of what cannot.
  private func inside(_ start: Int, _ depth: Int) throws -> Read {
    try require(
      depth <= Self.depth,
      "prompt: expected at most \(Self.depth) brackets inside each other, got more; remove some")
    var all = Read(pieces: [], end: start)
    while all.end < text.count {
      if Self.space.contains(text[all.end]) {
        all.end += 1
        continue
      }
      guard let found = try part(all.end, depth) ?? word(all.end) ?? sign(all.end) else { break }
      all = Read(pieces: all.pieces + found.pieces, end: found.end)
    }
    return all
  }

  private func sign(_ place: Int) -> Read? {
    let one = text[place]
    return one == Self.comma || one == Self.point ? Read(pieces: [Piece([one])], end: place + 1) : nil
  }

  /// A word without syntax, which a backslash, or of + and - a character behind it, makes part of a word.
  private func word(_ place: Int) -> Read? {
    var end = place
    while let one = text.at(end) {
      let following = text.at(end + 1)
      let isSign = one == Self.plus || one == Self.minus
      if one == Self.backslash, let following, Self.syntax.contains(following) {
        end += 2
      } else if isSign, let following, !Self.reserved.contains(following) {
        end += 1
      } else if !Self.reserved.contains(one) {
        end += 1
      } else {
        break
      }
    }
    return end > place ? Read(pieces: [Self.literal(text[place..<end])], end: end) : nil
  }

  private func freeWord(_ place: Int) -> Read {
    let end = text[place...].firstIndex(where: Self.space.contains) ?? text.count
    return Read(pieces: [Self.literal(text[place..<end])], end: end)
  }

  private static func literal(_ text: ArraySlice<UInt32>) -> Piece {
    var result: [UInt32] = []
    var place = text.startIndex
    while place < text.endIndex {
      let end = text[place...].firstIndex { $0 != backslash } ?? text.endIndex
      if end > place, end < text.endIndex, [open, close, quote].contains(text[end]) { place = end }
      result.append(text[place])
      place += 1
    }
    return Piece(result)
  }
}
