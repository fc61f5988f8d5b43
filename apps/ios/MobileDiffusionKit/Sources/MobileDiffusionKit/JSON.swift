/// A value of JSON, which keeps whole numbers apart from others, and the members of an object as they are written.
///
/// Foundation's own reader takes `true` for 1 and 1.0 for 1; a manifest may not be read that loosely.
enum JSON: Equatable, Sendable {
  case null
  case bool(Bool)
  /// A number without point and exponent that fits in 64 bits with a sign.
  case whole(Int64)
  case number(Double)
  case text(String)
  case list([JSON])
  case object([Member])

  /// A name and its value.
  struct Member: Equatable, Sendable {
    let name: String
    let value: JSON
  }

  /// An object of these members.
  static func object(_ members: KeyValuePairs<String, JSON>) -> JSON {
    .object(members.map { Member(name: $0.key, value: $0.value) })
  }

  /// The value of a text in UTF-8; throws a line that names `place` when the text is anything else than JSON.
  static func parse(_ text: [UInt8], in place: String) throws -> JSON {
    var reader = JSONReader(text)
    guard let value = reader.document() else {
      throw DiffusionError("\(place): expected JSON, got something else; export the bundle again")
    }
    return value
  }

  /// The member of an object; of several of one name the last, as everywhere else.
  subscript(name: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.name.isSame(as: name) }?.value
  }

  /// An element of a list.
  subscript(index: Int) -> JSON? {
    guard case .list(let values) = self, values.indices.contains(index) else { return nil }
    return values[index]
  }

  /// The text that this is.
  var text: String? { if case .text(let text) = self { text } else { nil } }
  /// The list that this is.
  var list: [JSON]? { if case .list(let values) = self { values } else { nil } }
  /// The members of the object that this is.
  var members: [Member]? { if case .object(let members) = self { members } else { nil } }
  /// The truth value that this is.
  var flag: Bool? { if case .bool(let flag) = self { flag } else { nil } }
  /// The whole number that this is; 1.0 is none.
  var whole: Int64? { if case .whole(let number) = self { number } else { nil } }

  /// The number that this is, whole or not.
  var number: Double? {
    switch self {
    case .whole(let number): Double(number)
    case .number(let number): number
    default: nil
    }
  }

  /// The numbers of a list of nothing else.
  var numbers: [Double]? {
    guard let list else { return nil }
    let numbers = list.compactMap(\.number)
    return numbers.count == list.count ? numbers : nil
  }
}

extension JSON: CustomStringConvertible {
  /// The value as JSON on one line, in ASCII, with members in order of their names.
  var description: String {
    switch self {
    case .null: "null"
    case .bool(let flag): flag ? "true" : "false"
    case .whole(let number): String(number)
    case .number(let number): String(number)
    case .text(let text): Self.literal(text)
    case .list(let values): "[" + values.map(\.description).joined(separator: ",") + "]"
    case .object(let members): Self.written(members)
    }
  }

  private static func written(_ members: [Member]) -> String {
    let sorted = members.sorted { $0.name < $1.name }
    return "{" + sorted.map { literal($0.name) + ":" + $0.value.description }.joined(separator: ",") + "}"
  }

  /// A text between quotation marks.
  private static func literal(_ text: String) -> String {
    var result = "\""
    for unit in text.utf16 {
      switch unit {
      case 0x22, 0x5C: result += "\\" + String(UnicodeScalar(UInt8(unit)))
      case 0x20..<0x7F: result.unicodeScalars.append(UnicodeScalar(UInt8(unit)))
      default: result += "\\u" + String(0x10000 + Int(unit), radix: 16).dropFirst()
      }
    }
    return result + "\""
  }
}
