/// How a prompt writes weights.
public enum PromptSyntax: String, CaseIterable, Codable, Sendable {
  /// Not at all.
  case plain
  /// As AUTOMATIC1111's web UI: (word), [word], (word:1.3), BREAK.
  case a1111
  /// As the library Compel: word++, word--, (words)1.3.
  case compel
}

/// Text of one weight, as code points; or a break, which ends a window.
struct Piece: Equatable {
  var text: [UInt32]
  var weight: Double
  var isBreak = false

  init(_ text: some Sequence<UInt32>, _ weight: Double = 1) {
    (self.text, self.weight) = (Array(text), weight)
  }

  /// Throws for a prompt that is too long to be read with weights.
  static func checkShort(_ prompt: [UInt32]) throws {
    try require(
      prompt.count <= 10_000,
      "expected a prompt with weights of at most 10,000 characters, got \(prompt.count): shorten it")
  }

  /// Neighbours of the same weight as one piece; throws for a weight that is too large.
  static func fused(_ pieces: [Piece], between: [UInt32]) throws -> [Piece] {
    var result: [Piece] = []
    for piece in pieces {
      try require(
        piece.isBreak || abs(piece.weight) <= 100,
        "prompt: expected weights from -100 to 100, got \(piece.weight.short); lower it")
      if let last = result.last, !last.isBreak, !piece.isBreak, last.weight == piece.weight {
        result[result.count - 1].text += between + piece.text
      } else {
        result.append(piece)
      }
    }
    return result.isEmpty ? [Piece([])] : result
  }
}

extension String {
  /// The code points.
  var points: [UInt32] { unicodeScalars.map(\.value) }
}

/// The digits 0 to 9.
func isDigit(_ point: UInt32?) -> Bool { point.map { (0x30...0x39).contains($0) } ?? false }

extension Array {
  /// The element at a place, or nil outside.
  func at(_ place: Int) -> Element? { indices.contains(place) ? self[place] : nil }
}
