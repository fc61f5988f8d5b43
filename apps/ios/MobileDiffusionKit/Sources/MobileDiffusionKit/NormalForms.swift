/// Unicode's normal forms C and D (UAX 15), on code points.
enum NormalForms {
  // Syllables of Hangul: S = (L * 21 + V) * 28 + T (The Unicode Standard, section 3.12).
  private static let (syllables, leads): (UInt32, UInt32) = (0xAC00, 0x1100)
  private static let (vowels, tails): (UInt32, UInt32) = (0x1161, 0x11A7)
  private static let (leadCount, vowelCount, tailCount): (UInt32, UInt32, UInt32) = (19, 21, 28)
  private static let syllableCount = leadCount * vowelCount * tailCount

  /// Normal form D: decomposed, marks in order.
  static func decomposed(_ text: [UInt32]) -> [UInt32] {
    var result: [UInt32] = []
    result.reserveCapacity(text.count)
    for point in text {
      if point &- syllables < syllableCount {
        appendSyllable(point - syllables, to: &result)
      } else if let parts = Characters.decompositions[point] {
        result.append(contentsOf: parts)
      } else {
        result.append(point)
      }
    }
    orderMarks(&result)
    return result
  }

  /// Normal form C: decomposed, then composed.
  static func composed(_ text: [UInt32]) -> [UInt32] {
    var result: [UInt32] = []
    var starter: Int?
    var last: UInt32 = 0  // class of the last mark that stayed behind the starter
    for point in decomposed(text) {
      let number = Characters.combiningClasses[point]
      if let starter, result.count == starter + 1 || last < number, let one = pair(result[starter], point) {
        result[starter] = one
        continue
      }
      if number == 0 { starter = result.count }
      last = number
      result.append(point)
    }
    return result
  }

  private static func appendSyllable(_ index: UInt32, to text: inout [UInt32]) {
    text.append(leads + index / (vowelCount * tailCount))
    text.append(vowels + index % (vowelCount * tailCount) / tailCount)
    if index % tailCount != 0 { text.append(tails + index % tailCount) }
  }

  /// Sorts every run of marks by class; marks of one class stay in order.
  private static func orderMarks(_ text: inout [UInt32]) {
    var place = 0
    while place < text.count {
      guard Characters.combiningClasses[text[place]] != 0 else {
        place += 1
        continue
      }
      var end = place
      while end < text.count, Characters.combiningClasses[text[end]] != 0 { end += 1 }
      let marks = text[place..<end].enumerated().sorted { one, other in
        let classes = (Characters.combiningClasses[one.element], Characters.combiningClasses[other.element])
        return (classes.0, one.offset) < (classes.1, other.offset)
      }
      text.replaceSubrange(place..<end, with: marks.map(\.element))
      place = end
    }
  }

  /// The character that two become.
  private static func pair(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if first &- leads < leadCount, second &- vowels < vowelCount {
      return syllables + ((first - leads) * vowelCount + (second - vowels)) * tailCount
    }
    let isOpen = first &- syllables < syllableCount && (first - syllables) % tailCount == 0
    if isOpen, second > tails, second < tails + tailCount { return first + (second - tails) }
    return Characters.compositions[UInt64(first) << 32 | UInt64(second)]
  }
}
