private let precisions = ["fp32", "fp16", "w8a16", "int8", "int8-dynamic", "int4-dynamic"]

extension Fields {
  /// A stage by its name.
  fileprivate func stage(_ name: String) throws -> Stage {
    let word = try word(name, of: Stage.allCases.map(\.rawValue))
    return Stage(rawValue: word)!
  }
}

extension TensorSpec {
  /// A size is below this.
  private static let greatestSize: Int64 = 1 << 24

  /// Elements of a tensor: more are no phone's, and their bytes could not be counted.
  private static let greatestCount = 1 << 28

  init(json value: JSON, in place: String) throws {
    let fields = try Fields(value, in: place, names: ["name", "dtype", "shape"])
    name = try fields.text("name")
    dtype = try fields.word("dtype", of: ["float32", "int32"])
    shape = try fields.list("shape").map { size in
      guard let size = size.whole, size > 0, size < Self.greatestSize else {
        throw fields.refusal("shape", expected: "positive sizes")
      }
      return Int(size)
    }
    let count = shape.reduce(1) { $0 > Self.greatestCount ? $0 : $0 * $1 }
    try fields.expect(count <= Self.greatestCount, "shape", "at most \(Self.greatestCount) elements")
  }
}

extension StageSpec {
  init(json value: JSON) throws {
    let place = "manifest.json: stages"
    let fields = try Fields(value, in: place, names: ["name", "inputs", "outputs"])
    stage = try fields.stage("name")
    inputs = try fields.list("inputs").map { try TensorSpec(json: $0, in: place) }
    outputs = try fields.list("outputs").map { try TensorSpec(json: $0, in: place) }
  }
}

extension Runtime {
  init(json value: JSON, stages: [Stage]) throws {
    let place = "manifest.json: runtimes"
    let fields = try Fields(value, in: place, names: ["name", "primary", "verified", "settings", "artifacts"])
    settings = try Self.readSettings(try fields.list("settings"), in: place + ".settings")
    (name, isPrimary, isVerified) = (try fields.text("name"), try fields.flag("primary"), try fields.flag("verified"))
    let programs = try fields.list("artifacts").map { try Program(json: $0, in: place + ".artifacts") }
    artifacts = programs.map(\.artifact)
    let names = stages.map(\.rawValue).joined(separator: ", ")
    try fields.expect(artifacts.map(\.stage) == stages, "artifacts", "one program for each stage of \(names)")
    let compressions = Set(programs.map { ExactText($0.compression) })
    try fields.expect(compressions.count == 1, "artifacts", "programs of one compression")
    try fields.expect(Set(programs.map(\.precision)).count == 1, "artifacts", "programs of one precision")
    precision = programs[0].precision
  }

  private static func readSettings(_ entries: [JSON], in place: String) throws -> [String: String] {
    var settings: [String: String] = [:]
    for entry in entries {
      let setting = try Fields(entry, in: place, names: ["name", "value"])
      let (name, value) = (try setting.text("name"), try setting.text("value"))
      let fresh = !name.isEmpty && settings.updateValue(value, forKey: name) == nil
      try setting.expect(fresh, "name", "every setting once, with a name")
    }
    return settings
  }
}

/// An entry of `artifacts`.
private struct Program {
  let artifact: Artifact
  let precision: String
  let compression: String

  init(json value: JSON, in place: String) throws {
    let names = ["stage", "path", "method", "outputs", "precision", "compression", "delegates", "undelegated"]
    let fields = try Fields(value, in: place, names: names)
    let outputs = try fields.texts("outputs")
    try fields.expect(!outputs.isEmpty, "outputs", "an output at least")
    try fields.expect(try fields.whole("delegates") >= 0, "delegates", "a number of delegates")
    for entry in try fields.list("undelegated") {
      let operation = try Fields(entry, in: place + ".undelegated", names: ["name", "count"])
      try operation.expect(!(try operation.text("name").isEmpty), "name", "the name of an operation")
      try operation.expect(try operation.whole("count") > 0, "count", "a count above zero")
    }
    precision = try fields.word("precision", of: precisions)
    compression = try fields.text("compression")
    artifact = Artifact(
      stage: try fields.stage("stage"), path: try fields.innerPath("path"), method: try fields.text("method"),
      outputs: outputs)
  }
}

extension Schedule {
  init(json value: JSON) throws {
    let names = [
      "solver", "prediction", "spacing", "train_steps", "timesteps", "inputs", "update", "noise_factors", "alphas",
      "sigmas", "starts", "guidance_kind", "guidance_default", "guidance_shares", "zero_null",
      "noise",
    ]
    let fields = try Fields(value, in: "manifest.json: schedule", names: names)
    _ = try fields.word("solver", of: Self.solvers)
    _ = try fields.word("prediction", of: ["v", "epsilon", "sample", "flow"])
    _ = try fields.word("spacing", of: ["trailing", "leading", "linspace"])
    _ = (try fields.whole("train_steps"), try fields.text("noise"))
    memory = try Self.readUpdate(fields)
    let rows = try fields.list("update").count
    for name in ["timesteps", "inputs", "noise_factors", "alphas", "sigmas"] {
      try fields.expect(try fields.numbers(name).count == rows, name, "a number for each step")
    }
    (alphas, sigmas) = (try fields.numbers("alphas"), try fields.numbers("sigmas"))
    starts = try Self.readStarts(fields, rows: rows)
    isStochastic = try fields.numbers("noise_factors").contains { $0 != 0 }
    let kind = try fields.word("guidance_kind", of: GuidanceKind.allCases.map(\.rawValue))
    guidanceKind = GuidanceKind(rawValue: kind) ?? .unguided
    guidance = try fields.number("guidance_default")
    try fields.expect(guidanceKind != .unguided || guidance <= 1, "guidance_default", "1 or less without guidance")
    shares = try fields.numbers("guidance_shares")
    try fields.expect(
      shares.isEmpty || (shares.count == rows && guidanceKind == .cfg), "guidance_shares",
      "a share of the guidance for each step, with guidance_kind cfg")
    isNullZero = try fields.flag("zero_null")
    try fields.expect(shares.allSatisfy((0...1).contains), "guidance_shares", "guidance_shares from 0 to 1")
  }

  private static let solvers = [
    "ddim", "dpm-solver++", "euler", "pndm", "lcm", "ddpm", "dpm-solver", "sde-dpm-solver", "sde-dpm-solver++", "deis",
    "unipc", "lms", "euler-ancestral", "heun", "kdpm2", "kdpm2-ancestral", "tcd",
  ]

  /// The rows that drawings make which skip 0, 1, ... steps.
  private static func readStarts(_ fields: Fields, rows: Int) throws -> [[Int]] {
    try fields.list("starts").map { path in
      let steps = (path.list ?? []).map { $0.whole.map(Int.init) ?? -1 }
      try fields.expect(!steps.isEmpty && steps.allSatisfy((0..<rows).contains), "starts", "rows of the table")
      return steps
    }
  }

  /// How many tensors the solver remembers: the update of every step has K rows of K + 1 numbers.
  private static func readUpdate(_ fields: Fields) throws -> Int {
    var sizes: Set<Int> = []
    for matrix in try fields.list("update") {
      guard let rows = matrix.list, !rows.isEmpty else {
        throw fields.refusal("update", expected: "a matrix for every step")
      }
      let square = rows.allSatisfy { $0.numbers?.count == rows.count + 1 }
      try fields.expect(square, "update", "matrices of K rows and K + 1 columns")
      sizes.insert(rows.count)
    }
    guard sizes.count == 1, let size = sizes.first else {
      throw fields.refusal("update", expected: "matrices of one size")
    }
    return size - 1
  }
}
