import Foundation

/// One prompt that PyTorch drew, with what it computed on the way.
struct GoldenCase: Sendable {
  let prompt: String
  let seed: UInt64
  let guidance: Double
  /// Steps that a drawing from a picture skips.
  let firstStep: Int
  private let tensors: [String: TensorValue]
  private let place: String

  /// All cases of a bundle; throws one line for an index or a file that is lost, changed or malformed.
  static func read(_ bundle: ModelBundle) throws -> [GoldenCase] {
    let place = bundle.manifest.golden
    let text = Array(try ModelBundle.read(try bundle.verified(place)))
    let index = try Fields(
      try JSON.parse(text, in: place), in: place, names: ["schema_version", "byte_order", "cases"])
    let cases = try index.list("cases").map { try GoldenCase($0, bundle, in: place) }
    try index.expect(!cases.isEmpty, "cases", "a case at least")
    return cases
  }

  private init(_ value: JSON, _ bundle: ModelBundle, in place: String) throws {
    self.place = place
    let names = ["prompt", "seed", "strength", "guidance", "first_step", "tensors"]
    let fields = try Fields(value, in: "\(place): cases", names: names)
    (prompt, guidance) = (try fields.text("prompt"), try fields.number("guidance"))
    let digits = try fields.text("seed")
    guard let seed = UInt64(digits), !digits.hasPrefix("+") else { throw fields.refusal("seed", expected: "a seed") }
    self.seed = seed
    let skipped = try fields.whole("first_step")
    try fields.expect((0..<1 << 24).contains(skipped), "first_step", "a number of steps")
    firstStep = Int(skipped)
    var tensors: [String: TensorValue] = [:]
    for member in try fields.object("tensors").members ?? [] {
      tensors[member.name] = try Self.tensor(member.value, bundle, in: "\(place): \(member.name)")
    }
    self.tensors = tensors
  }

  private static func tensor(_ value: JSON, _ bundle: ModelBundle, in place: String) throws -> TensorValue {
    let fields = try Fields(value, in: place, names: ["path", "dtype", "shape"])
    let data = try ModelBundle.read(try bundle.verified(try fields.innerPath("path")))
    let sizes = try fields.list("shape").map { $0.whole ?? 0 }
    let isSmall = sizes.allSatisfy { $0 > 0 && $0 <= data.count }
    let count = isSmall ? sizes.reduce(Int64(4)) { $0 > data.count ? $0 : $0 * $1 } : 0
    try fields.expect(count == data.count, "shape", "the shape of \(data.count) bytes")
    let shape = sizes.map(Int.init)
    let words = stride(from: 0, to: data.count, by: 4).map { offset in
      UInt32(littleEndian: data.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) })
    }
    if try fields.word("dtype", of: ["float32", "int32"]) == "float32" {
      return .floats(words.map(Float.init(bitPattern:)), shape: shape)
    }
    return .integers(words.map(Int32.init(bitPattern:)), shape: shape)
  }

  /// States on record: one before each step, and one after the last.
  func states() throws -> Int { try tensor("states").shape[0] }

  func has(_ name: String) -> Bool { tensors[name] != nil }

  /// A tensor; throws one line when there is none of that name.
  func tensor(_ name: String) throws -> TensorValue {
    guard let found = tensors[name] else {
      throw DiffusionError("\(place): expected the tensor \(name), got none; export the bundle again")
    }
    return found
  }

  func floats(_ name: String) throws -> [Float] {
    guard let values = try tensor(name).floats else { throw foreign(name, "float32") }
    return values
  }

  func integers(_ name: String) throws -> [Int32] {
    guard case .integers(let values, _) = try tensor(name) else { throw foreign(name, "int32") }
    return values
  }

  /// Latents and memory in front of a step.
  func state(_ number: Int) throws -> [Float] {
    let all = try floats("states")
    let size = all.count / (try states())
    return Array(all[number * size..<(number + 1) * size])
  }

  private func foreign(_ name: String, _ dtype: String) -> DiffusionError {
    DiffusionError("\(place): expected the tensor \(name) of \(dtype), got another; export the bundle again")
  }
}
