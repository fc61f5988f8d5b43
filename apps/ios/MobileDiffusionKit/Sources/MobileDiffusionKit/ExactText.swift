/// A text that equals another when their code points are the same.
///
/// To Swift, "é" and "e" followed by an accent are equal; a vocabulary holds both, with different ids.
struct ExactText: Hashable, Sendable {
  let text: String

  init(_ text: String) {
    self.text = text
  }

  static func == (one: ExactText, other: ExactText) -> Bool {
    one.text.isSame(as: other.text)
  }

  func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

extension String {
  /// Whether two texts have the same code points.
  func isSame(as other: String) -> Bool {
    utf8.elementsEqual(other.utf8)
  }

  /// The text as it may stand in an error: quoted, one line, cut.
  var quoted: String {
    let shown = 60
    var result = "'"
    for scalar in unicodeScalars.prefix(shown) {
      result.unicodeScalars.append(scalar.value < 0x20 || scalar.value == 0x7F ? "?" : scalar)
    }
    return result + (unicodeScalars.count > shown ? "...'" : "'")
  }
}
