import Foundation

extension Manifest {
  /// Reads the text of `manifest.json`; `place` names the file in the error.
  ///
  /// Throws in one line: not a manifest, another schema version, a malformed field, a path that leaves the bundle or is
  /// not listed, a stage without a program.
  public init(text: [UInt8], in place: String = "manifest.json") throws {
    let value = try JSON.parse(text, in: place)
    try Self.checkVersion(value, in: place)
    let fields = try Fields(
      value, in: place,
      names: [
        "format", "schema_version", "target", "model", "stages", "runtimes", "schedule", "tokenizer", "golden",
        "parity", "tools", "files",
      ])
    try fields.expect(try fields.text("format").isSame(as: Self.format), "format", Self.format)
    try fields.expect(try fields.whole("schema_version") == Self.schemaVersion, "schema_version", "a version")
    target = try fields.text("target")
    let about = try ModelPart(try fields.object("model"))
    (model, licence, styles, textWidths) = (about.name, about.licence, about.styles, about.textWidths)
    (width, height) = (about.width, about.height)
    stages = try fields.list("stages").map(StageSpec.init(json:))
    runtimes = try Self.readRuntimes(fields, stages: stages.map(\.stage))
    schedule = try Schedule(json: try fields.object("schedule"))
    tokenizer = try TokenizerSpec(json: try fields.object("tokenizer"))
    golden = try fields.innerPath("golden")
    parity = try fields.list("parity").map(ParityLimit.init(json:))
    for entry in try fields.list("tools") {
      let tool = try Fields(entry, in: "manifest.json: tools", names: ["name", "version"])
      _ = (try tool.text("name"), try tool.text("version"))
    }
    files = try Self.readFiles(try fields.list("files"))
    try checkReferences()
  }

  private static let format = "mobile-diffusion-bundle"
  static let fileName = "manifest.json"

  /// Another version is refused before anything else is looked at: it may hold anything.
  private static func checkVersion(_ value: JSON, in place: String) throws {
    try require(
      value.members != nil, "\(place): expected a JSON object, got another value; export the bundle again")
    guard let version = value["schema_version"]?.whole, version != schemaVersion else { return }
    let fix = version > schemaVersion ? "update this program" : "export the bundle again"
    throw DiffusionError(
      "\(place): expected a bundle of schema version \(schemaVersion), got \(version); \(fix)")
  }

  private static func readRuntimes(_ fields: Fields, stages: [Stage]) throws -> [Runtime] {
    let names = Stage.drawing.map(\.rawValue).joined(separator: ", ")
    let known = stages == Stage.allCases.filter { Stage.drawing.contains($0) || stages.contains($0) }
    try fields.expect(known, "stages", "the stages \(names)")
    let runtimes = try fields.list("runtimes").map { try Runtime(json: $0, stages: stages) }
    let different = Set(runtimes.map { ExactText($0.name) }).count == runtimes.count
    let onePrimary = runtimes.filter(\.isPrimary).count == 1
    try fields.expect(different && onePrimary, "runtimes", "different runtimes, one of them primary")
    return runtimes
  }

  private static func readFiles(_ entries: [JSON]) throws -> [String: FileSpec] {
    var files: [String: FileSpec] = [:]
    for entry in entries {
      let fields = try Fields(entry, in: "manifest.json: files", names: ["path", "size", "sha256"])
      let spec = FileSpec(size: try fields.whole("size"), sha256: try fields.text("sha256"))
      try fields.expect(spec.size >= 0, "size", "zero or more bytes")
      try fields.expect(isSHA256(spec.sha256), "sha256", "a SHA-256 in lower case hexadecimal")
      let path = try fields.innerPath("path")
      let fresh = files.updateValue(spec, forKey: path) == nil
      try fields.expect(fresh && path != fileName, "path", "every file once, without the manifest")
    }
    return files
  }

  /// Every path that is mentioned is a listed file, or a folder of listed files.
  private func checkReferences() throws {
    var known: Set<ExactText> = []
    for path in files.keys {
      let parts = path.utf8.split(separator: UInt8(ascii: "/"))
      for count in 1...parts.count {
        known.insert(ExactText(parts.prefix(count).map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")))
      }
    }
    let programs = runtimes.flatMap(\.artifacts).map(\.path)
    for path in tokenizer.files + [golden] + programs {
      try require(
        known.contains(ExactText(path)),
        "manifest.json: expected only files that are listed under 'files', got \(path.quoted); export the bundle again")
    }
  }
}

/// The section `model`.
private struct ModelPart {
  let name: String
  let licence: String
  let styles: [String]
  let textWidths: [Int]
  let width: Int
  let height: Int

  init(_ value: JSON) throws {
    let fields = try Fields(
      value, in: "manifest.json: model",
      names: ["name", "licence", "height", "width", "styles", "changes", "text_widths", "source_sha256"])
    (name, licence) = (try fields.text("name"), try fields.text("licence"))
    _ = try fields.texts("changes")
    styles = try fields.texts("styles")
    let isNamed = Set(styles.map(ExactText.init)).count == styles.count && !styles.contains("")
    try fields.expect(isNamed, "styles", "different names, none empty")
    (width, height) = (Int(try fields.whole("width")), Int(try fields.whole("height")))
    try fields.expect(width > 0 && height > 0, "height", "a positive height and width")
    let widths = try fields.list("text_widths").map { Int($0.whole ?? 0) }
    let isWide = !widths.isEmpty && widths.allSatisfy { $0 > 0 && $0 < 1 << 24 }
    try fields.expect(isWide, "text_widths", "text_widths with a positive width per text encoder")
    textWidths = widths
    let source = try fields.text("source_sha256")
    try fields.expect(source.isEmpty || isSHA256(source), "source_sha256", "a SHA-256")
  }
}

extension ParityLimit {
  fileprivate init(json value: JSON) throws {
    let fields = try Fields(
      value, in: "manifest.json: parity", names: ["runtime", "check", "metric", "worst", "limit"])
    (runtime, check, metric) = (try fields.text("runtime"), try fields.text("check"), try fields.text("metric"))
    _ = try fields.number("worst")
    limit = try fields.number("limit")
  }
}

extension TokenizerSpec {
  init(json value: JSON) throws {
    let fields = try Fields(value, in: "manifest.json: tokenizer", names: ["kind", "max_tokens", "files"])
    (kind, maxTokens, files) = (try fields.text("kind"), try fields.whole("max_tokens"), try fields.texts("files"))
    try fields.expect(!files.isEmpty, "files", "a file")
    try fields.expect(kind != Self.pair || files.count == 2, "files", "two tokenizer files of this kind")
    try fields.expect(files.allSatisfy(staysInside), "files", "paths in the bundle")
  }
}

extension Fields {
  /// A path that is relative, with single slashes, and stays in the bundle.
  func innerPath(_ name: String) throws -> String {
    let path = try text(name)
    try expect(staysInside(path), name, "a relative path that stays in the bundle")
    return path
  }
}

private func staysInside(_ path: String) -> Bool {
  let bytes = Array(path.utf8)
  let foreign = bytes.contains { $0 == UInt8(ascii: "\\") || $0 == UInt8(ascii: ":") || $0 == 0 }
  let parts = bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
  return !foreign && parts.allSatisfy { !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }
}

private func isSHA256(_ text: String) -> Bool {
  let digits = (UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"))
  return text.utf8.count == 64 && text.utf8.allSatisfy { digits.0.contains($0) || digits.1.contains($0) }
}
