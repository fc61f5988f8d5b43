/// What the tokenizers know of characters, by code point. `UnicodeTables` says it for one version of Unicode; the
/// system's own tables differ from one release to the next, and ids with them.
enum Characters {
  static let letters = CharacterTable(ranges: UnicodeTables.letters)
  static let numbers = CharacterTable(ranges: UnicodeTables.numbers)
  static let spaces = CharacterTable(ranges: UnicodeTables.spaces)
  static let controls = CharacterTable(ranges: UnicodeTables.controls)
  static let han = CharacterTable(ranges: UnicodeTables.han)
  static let marks = CharacterTable(ranges: UnicodeTables.marks)
  static let punctuation = CharacterTable(ranges: UnicodeTables.punctuation)
  /// The value of a range is the combining class of its marks.
  static let combiningClasses = CharacterTable(ranges: UnicodeTables.combiningClasses)
  static let lowerCase = mappings(UnicodeTables.lowerCase)
  static let decompositions = mappings(UnicodeTables.decompositions)

  /// Two characters, the first in the upper half of the key, and what they become.
  static let compositions: [UInt64: UInt32] = Dictionary(
    uniqueKeysWithValues: tableRows(UnicodeTables.compositions).map { row in
      (UInt64(row[0]) << 32 | UInt64(row[1]), row[2])
    })

  /// The text in lower case, whatever the system's language.
  static func lowerCased(_ text: [UInt32]) -> [UInt32] {
    text.flatMap { lowerCase[$0] ?? [$0] }
  }

  private static func mappings(_ text: String) -> [UInt32: [UInt32]] {
    var found: [UInt32: [UInt32]] = [:]
    var point: UInt32 = 0
    for row in tableRows(text) {
      point += row[0]
      found[point] = Array(row.dropFirst())
    }
    return found
  }
}

/// Ranges of code points, each with a number.
struct CharacterTable: Sendable {
  private struct Range {
    let first, last, value: UInt32
  }

  private let ranges: [Range]

  /// Reads rows of gap, length and perhaps a value.
  init(ranges text: String) {
    var end: UInt32 = 0
    ranges = tableRows(text).map { row in
      let first = end + row[0]
      end = first + row[1]
      return Range(first: first, last: end - 1, value: row.count > 2 ? row[2] : 1)
    }
  }

  /// The number of the range that holds a code point; 0 when none does.
  subscript(point: UInt32) -> UInt32 {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].last < point { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count && ranges[low].first <= point ? ranges[low].value : 0
  }

  /// Whether a range holds a code point.
  func contains(_ point: UInt32) -> Bool {
    self[point] != 0
  }
}

/// Rows of numbers to the base 36, as `UnicodeTables` has them.
private func tableRows(_ text: String) -> [[UInt32]] {
  text.split { $0 == " " || $0 == "\n" }.map { row in
    row.split(separator: ",").map { UInt32($0, radix: 36)! }
  }
}
