/// What CLIP takes as a word: contractions, runs of letters, single digits, and runs of the rest.
enum ClipWords {
  private static let markers = ["<|startoftext|>", "<|endoftext|>"].map(points)
  private static let contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map(points)

  private static func points(_ text: String) -> [UInt32] { text.unicodeScalars.map(\.value) }

  /// Words of a normalized text in order; spaces are left out. The marker of a prompt's start or end, which stands there
  /// when it was typed in other case, is three words.
  static func split(_ text: ArraySlice<UInt32>) -> [ArraySlice<UInt32>] {
    var words: [ArraySlice<UInt32>] = []
    var rest = text
    while !rest.isEmpty {
      if let marker = markers.first(where: rest.starts) {
        let inner = rest.prefix(marker.count)
        words += [inner.prefix(2), inner.dropFirst(2).dropLast(2), inner.suffix(2)]
        rest = rest.dropFirst(marker.count)
        continue
      }
      let length = wordLength(rest)
      if length > 0 { words.append(rest.prefix(length)) }
      rest = rest.dropFirst(max(length, 1))
    }
    return words
  }

  /// The length of the word that a text begins with; 0 for none.
  private static func wordLength(_ text: ArraySlice<UInt32>) -> Int {
    if let contraction = contractions.first(where: text.starts) { return contraction.count }
    let letters = text.prefix(while: Characters.letters.contains).count
    if letters > 0 { return letters }
    return Characters.numbers.contains(text.first!) ? 1 : text.prefix(while: isOther).count
  }

  private static func isOther(_ point: UInt32) -> Bool {
    !Characters.letters.contains(point) && !Characters.numbers.contains(point) && !Characters.spaces.contains(point)
  }
}
