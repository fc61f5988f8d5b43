/// Reads JSON (RFC 8259) and nothing else: no comments, no NaN, no byte order mark, nothing after the value.
struct JSONReader {
  /// Values inside values; deeper ones are refused, as a reader that calls itself has only so much stack.
  static let greatestDepth = 500

  private let bytes: [UInt8]
  private var place = 0

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  /// The value that all of the text is, or nil.
  mutating func document() -> JSON? {
    guard let value = value(depth: 0) else { return nil }
    skipSpaces()
    return place == bytes.count ? value : nil
  }

  private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

  private mutating func skipSpaces() {
    while let byte = next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { place += 1 }
  }

  /// Passes over a byte if it is the next one.
  private mutating func take(_ byte: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: byte) else { return false }
    place += 1
    return true
  }

  private mutating func value(depth: Int) -> JSON? {
    guard depth <= Self.greatestDepth else { return nil }
    skipSpaces()
    switch next {
    case UInt8(ascii: "{"): return object(depth: depth)
    case UInt8(ascii: "["): return list(depth: depth)
    case UInt8(ascii: "\""): return text().map(JSON.text)
    case UInt8(ascii: "t"): return word("true", .bool(true))
    case UInt8(ascii: "f"): return word("false", .bool(false))
    case UInt8(ascii: "n"): return word("null", .null)
    default: return number()
    }
  }

  private mutating func word(_ word: StaticString, _ value: JSON) -> JSON? {
    let count = word.utf8CodeUnitCount
    let letters = UnsafeBufferPointer(start: word.utf8Start, count: count)
    guard place + count <= bytes.count, bytes[place..<place + count].elementsEqual(letters) else { return nil }
    place += count
    return value
  }

  private mutating func object(depth: Int) -> JSON? {
    var members: [JSON.Member] = []
    place += 1
    skipSpaces()
    if take("}") { return .object([]) }
    repeat {
      skipSpaces()
      guard next == UInt8(ascii: "\""), let name = text() else { return nil }
      skipSpaces()
      guard take(":"), let value = value(depth: depth + 1) else { return nil }
      members.append(JSON.Member(name: name, value: value))
      skipSpaces()
    } while take(",")
    return take("}") ? .object(members) : nil
  }

  private mutating func list(depth: Int) -> JSON? {
    var values: [JSON] = []
    place += 1
    skipSpaces()
    if take("]") { return .list([]) }
    repeat {
      guard let value = value(depth: depth + 1) else { return nil }
      values.append(value)
      skipSpaces()
    } while take(",")
    return take("]") ? .list(values) : nil
  }

  private mutating func digits() -> Int {
    let start = place
    while let byte = next, (0x30...0x39).contains(byte) { place += 1 }
    return place - start
  }

  private mutating func number() -> JSON? {
    let start = place
    _ = take("-")
    let zero = next == UInt8(ascii: "0")
    let count = digits()
    guard count == 1 || (count > 1 && !zero) else { return nil }
    var isWhole = true
    if take(".") {
      isWhole = false
      guard digits() > 0 else { return nil }
    }
    if take("e") || take("E") {
      isWhole = false
      if !take("-") { _ = take("+") }
      guard digits() > 0 else { return nil }
    }
    let text = String(decoding: bytes[start..<place], as: UTF8.self)
    if isWhole, let whole = Int64(text) { return .whole(whole) }
    guard let number = Double(text), number.isFinite else { return nil }
    return .number(number)
  }

  /// A text between quotation marks; nil when it is not closed, holds a control character, or is not valid Unicode.
  private mutating func text() -> String? {
    var units: [UInt8] = []
    place += 1
    while let byte = next {
      place += 1
      switch byte {
      case UInt8(ascii: "\""):
        let text = String(decoding: units, as: UTF8.self)
        return text.utf8.elementsEqual(units) ? text : nil  // what is not UTF-8 has been replaced
      case UInt8(ascii: "\\"):
        guard let scalar = escape() else { return nil }
        units.append(contentsOf: UTF8.encode(scalar)!)
      case 0..<0x20:
        return nil
      default:
        units.append(byte)
      }
    }
    return nil
  }

  /// Reads what follows a backslash.
  private mutating func escape() -> Unicode.Scalar? {
    guard let byte = next else { return nil }
    place += 1
    switch Unicode.Scalar(byte) {
    case "\"", "\\", "/": return Unicode.Scalar(byte)
    case "b": return "\u{8}"
    case "f": return "\u{C}"
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "u": return codePoint()
    default: return nil
    }
  }

  /// The code point of four hexadecimal digits, or of two such escapes that are a pair of surrogates.
  private mutating func codePoint() -> Unicode.Scalar? {
    guard let first = hexadecimal() else { return nil }
    guard (0xD800..<0xDC00).contains(first) else { return Unicode.Scalar(first) }
    guard take("\\"), take("u"), let second = hexadecimal(), (0xDC00..<0xE000).contains(second) else { return nil }
    return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
  }

  private mutating func hexadecimal() -> UInt32? {
    guard place + 4 <= bytes.count else { return nil }
    let digits = bytes[place..<place + 4]
    guard digits.allSatisfy({ Unicode.Scalar($0).properties.isASCIIHexDigit }) else { return nil }
    place += 4
    return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
  }
}
