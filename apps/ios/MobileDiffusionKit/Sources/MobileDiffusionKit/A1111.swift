/// Weights as AUTOMATIC1111's web UI writes them: (word), [word], (word:1.3), \( and BREAK.
///
/// An open bracket reaches to the end; a closing one without an open one is text. BREAK inside brackets that change its
/// own weight of -1 is a word, as in the original.
struct A1111 {
  private static let (up, down) = (1.1, 1 / 1.1)
  private static let breakWord = "BREAK".points
  private static let breakWeight = -1.0
  private static let special = Set("()[]\\:".points)
  private static let (colon, point) = (UInt32(0x3A), UInt32(0x2E))

  private let text: [UInt32]
  private var pieces: [Piece] = []
  private var round: [Int] = []
  private var square: [Int] = []

  /// The pieces of a prompt, in order.
  static func parse(_ prompt: [UInt32]) throws -> [Piece] {
    try Piece.checkShort(prompt)
    var parser = A1111(text: prompt)
    return try parser.parse()
  }

  private init(text: [UInt32]) {
    self.text = text
  }

  private mutating func parse() throws -> [Piece] {
    var place = 0
    while place < text.count { place = try read(place) }
    for start in round { multiply(start, Self.up) }
    for start in square { multiply(start, Self.down) }
    for place in pieces.indices {
      pieces[place].isBreak = pieces[place].text == Self.breakWord && pieces[place].weight == Self.breakWeight
    }
    return try Piece.fused(pieces, between: [])
  }

  /// Reads what stands at a place; returns where it ends.
  private mutating func read(_ place: Int) throws -> Int {
    switch Unicode.Scalar(text[place])! {
    case "\\": return escaped(place)
    case "(": round.append(pieces.count)
    case "[": square.append(pieces.count)
    case ")":
      guard let start = round.popLast() else { return add(place, place + 1) }
      multiply(start, Self.up)
    case "]":
      guard let start = square.popLast() else { return add(place, place + 1) }
      multiply(start, Self.down)
    case ":": return try weight(place)
    default: return add(place, text[place...].firstIndex(where: Self.special.contains) ?? text.count)
    }
    return place + 1
  }

  private mutating func escaped(_ place: Int) -> Int {
    let following = text.at(place + 1).flatMap { Self.special.contains($0) && $0 != Self.colon ? $0 : nil }
    pieces.append(Piece(following.map { [$0] } ?? []))
    return place + (following == nil ? 1 : 2)
  }

  private mutating func weight(_ place: Int) throws -> Int {
    var end = place + 1
    if text.at(end) == 0x2B || text.at(end) == 0x2D { end += 1 }
    let first = end
    while isDigit(text.at(end)) || text.at(end) == Self.point { end += 1 }
    guard end > first, text.at(end) == 0x29 else { return add(place, place + 1) }
    guard let start = round.popLast() else { return add(place, end + 1) }
    let number = text[(place + 1)..<end]
    let isNumber = number.contains(where: isDigit) && number.filter { $0 == Self.point }.count <= 1
    let written = MobileDiffusionKit.text(of: number)
    try require(isNumber, "prompt: expected a weight such as 1.3 after a colon, got \(written.quoted)")
    multiply(start, decimal(written))
    return end + 1
  }

  private mutating func multiply(_ start: Int, _ factor: Double) {
    for place in start..<max(start, pieces.count) { pieces[place].weight *= factor }
  }

  /// Adds text without brackets, and a break between its parts.
  private mutating func add(_ start: Int, _ end: Int) -> Int {
    var from = start
    var place = start
    while place + Self.breakWord.count <= end {
      let after = place + Self.breakWord.count
      let isWhole = !(place > start && isWord(text[place - 1])) && !(after < end && isWord(text[after]))
      if isWhole, text[place] == Self.breakWord[0], Array(text[place..<after]) == Self.breakWord {
        pieces += [Piece(text[from..<place]), Piece(Self.breakWord, Self.breakWeight)]
        (from, place) = (after, after)
      } else {
        place += 1
      }
    }
    pieces.append(Piece(text[from..<end]))
    return end
  }

  private func isWord(_ point: UInt32) -> Bool {
    point == 0x5F || Characters.letters.contains(point) || Characters.numbers.contains(point)
  }
}

/// A number as "+1.", ".5" and "12" are written; infinity for one of too many digits.
func decimal(_ text: String) -> Double {
  let digits = text.hasPrefix("+") ? String(text.dropFirst()) : text
  let sign = digits.hasPrefix("-") ? -1.0 : 1.0
  let unsigned = digits.hasPrefix("-") ? String(digits.dropFirst()) : digits
  let whole = (unsigned.hasPrefix(".") ? "0" : "") + unsigned + (unsigned.hasSuffix(".") ? "0" : "")
  return sign * (Double(whole) ?? .infinity)
}
