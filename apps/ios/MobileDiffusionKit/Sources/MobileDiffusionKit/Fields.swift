/// An object of JSON read strictly: it has exactly the fields that are asked for, each of its type.
struct Fields {
  private let value: JSON
  private let place: String

  /// Throws when `value` is no object, or a field is missing or unknown; `place` begins every line.
  init(_ value: JSON, in place: String, names: [String]) throws {
    self.value = value
    self.place = place
    guard let members = value.members else {
      throw DiffusionError("\(place): expected an object, got \(Self.describe(value)); export the bundle again")
    }
    for member in members.sorted(by: { $0.name < $1.name }) {
      try require(
        names.contains { $0.isSame(as: member.name) },
        "\(place): expected only known fields, got \(member.name.quoted); export the bundle again")
    }
    for name in names {
      try require(value[name] != nil, "\(place): expected the field \(name), got none; export the bundle again")
    }
  }

  /// A value as it may stand in an error.
  private static func describe(_ value: JSON) -> String {
    (value.text ?? value.description).quoted
  }

  /// The error that names a field.
  func refusal(_ name: String, expected: String) -> DiffusionError {
    let got = value[name].map(Self.describe) ?? "none"
    return DiffusionError("\(place): \(name): expected \(expected), got \(got); export the bundle again")
  }

  /// The error that names a field, unless there is a value.
  private func need<Value>(_ found: Value?, _ name: String, _ expected: String) throws -> Value {
    guard let found else { throw refusal(name, expected: expected) }
    return found
  }

  func text(_ name: String) throws -> String { try need(value[name]?.text, name, "text") }
  func whole(_ name: String) throws -> Int64 { try need(value[name]?.whole, name, "a whole number") }
  func number(_ name: String) throws -> Double { try need(value[name]?.number, name, "a number") }
  func flag(_ name: String) throws -> Bool { try need(value[name]?.flag, name, "true or false") }
  func list(_ name: String) throws -> [JSON] { try need(value[name]?.list, name, "a list") }
  func numbers(_ name: String) throws -> [Double] { try need(value[name]?.numbers, name, "a list of numbers") }

  func object(_ name: String) throws -> JSON {
    try need(value[name]?.members.map(JSON.object), name, "an object")
  }

  func texts(_ name: String) throws -> [String] {
    let list = try list(name)
    let texts = list.compactMap(\.text)
    return try need(texts.count == list.count ? texts : nil, name, "a list of texts")
  }

  /// A text that is one of several words.
  func word(_ name: String, of choices: [String]) throws -> String {
    let text = try text(name)
    return try need(choices.first { $0.isSame(as: text) }, name, "one of " + choices.joined(separator: ", "))
  }

  /// Throws unless the condition holds.
  func expect(_ condition: Bool, _ name: String, _ expected: String) throws {
    if !condition { throw refusal(name, expected: expected) }
  }
}
