import XCTest

@testable import MobileDiffusionKit

/// Whatever was changed, lost, linked or added in a bundle is noticed when it is used.
final class BundleTests: FolderTestCase {
  private func bundle() throws -> URL { try Trajectory("ddim", in: folder).bundle }

  /// Uses everything that a drawing uses.
  private func use(_ folder: URL) throws {
    let bundle = try ModelBundle.open(folder)
    let runtime = try bundle.runtime("xnnpack")
    for stage in Stage.drawing { _ = try bundle.file(stage, for: runtime) }
    _ = try Pipeline(bundle: bundle, runner: ReplayingRunner([]))
  }

  func testAWholeBundle() throws {
    let folder = try bundle()
    XCTAssertNoThrow(try use(folder))
    let opened = try ModelBundle.open(folder)
    XCTAssertEqual(opened.name, "ddim")
    XCTAssertEqual(opened.digest, sha256(Array(try Data(contentsOf: folder.appendingPathComponent("manifest.json")))))
    XCTAssertNotNil(try opened.preview())
  }

  func testWhatIsNoBundle() throws {
    XCTAssert(refusal { _ = try ModelBundle.open(folder) }.contains("a folder without manifest.json"))
    let absent = folder.appendingPathComponent("absent")
    XCTAssert(refusal { _ = try ModelBundle.open(absent) }.contains("expected a bundle folder, got nothing"))
    try Data().write(to: absent)
    XCTAssert(refusal { _ = try ModelBundle.open(absent) }.contains("expected a bundle folder, got a file"))
    let newer = folder.appendingPathComponent("manifest.json")
    try Data(#"{"schema_version": 8, "planets": 8}"#.utf8).write(to: newer)
    XCTAssert(refusal { _ = try ModelBundle.open(folder) }.contains("schema version 7, got 8; update this program"))
  }

  func testSpoiledFiles() throws {
    for name in ["tokenizer.json", "preview.json"] {
      for (spoil, message) in [
        ({ try $0.dropLast(100).write(to: $1) }, "bytes, got"),
        ({ try Data($0.map { $0 ^ 1 }).write(to: $1) }, "expected SHA-256"),
        ({ try FileManager.default.removeItem(at: $1) }, "expected a file, got none"),
        (Self.link, "expected a plain file, got a link"), (Self.makeFolder, "expected a file, got none"),
      ] as [((Data, URL) throws -> Void, String)] {
        let folder = try bundle()
        let file = folder.appendingPathComponent(name)
        try spoil(try Data(contentsOf: file), file)
        let line = refusal(name) { try use(folder) }
        XCTAssert(line.contains(message) && line.contains(name), line)
        try FileManager.default.removeItem(at: folder)
      }
    }
  }

  private static func link(_ data: Data, _ file: URL) throws {
    let other = file.deletingLastPathComponent().appendingPathComponent("elsewhere")
    try FileManager.default.moveItem(at: file, to: other)
    try FileManager.default.createSymbolicLink(at: file, withDestinationURL: other)
  }

  private static func makeFolder(_ data: Data, _ file: URL) throws {
    try FileManager.default.removeItem(at: file)
    try FileManager.default.createDirectory(at: file, withIntermediateDirectories: false)
  }

  func testProgramsThatAreFolders() throws {
    let (folder, path) = (try bundle(), "denoise.mlpackage")
    let package = folder.appendingPathComponent(path)
    let data = package.appendingPathComponent("Data")
    try FileManager.default.createDirectory(at: data, withIntermediateDirectories: true)
    for name in ["Data/weights.bin", "Manifest.json"] { try Data().write(to: package.appendingPathComponent(name)) }
    let file = folder.appendingPathComponent("manifest.json")
    let empty = #"{"path": "NAME", "size": 0, "sha256": "\#(sha256([]))"}"#
    let entries = ["Data/weights.bin", "Manifest.json"].map { name in
      empty.replacingOccurrences(of: "NAME", with: "\(path)/\(name)")
    }
    let (program, method) = ("\"path\": \"denoise.pte\"", ",\n     \"method\"")
    let text = try String(contentsOf: file, encoding: .utf8)
      .replacingOccurrences(of: "\"files\": [\n  {", with: "\"files\": [\n  \(entries.joined(separator: ",")), {")
      .replacingOccurrences(of: program + method, with: "\"path\": \"\(path)\"" + method)
    try Data(text.utf8).write(to: file)
    let runtime = try ModelBundle.open(folder).runtime("xnnpack")
    XCTAssertEqual(runtime.artifacts[1].path, path)
    XCTAssertNoThrow(try use(folder))
    try Data().write(to: data.appendingPathComponent("more"))
    XCTAssert(refusal { try use(folder) }.contains("Data/more: expected exactly the files of the manifest"))
    try FileManager.default.removeItem(at: data.appendingPathComponent("more"))
    try Data([1]).write(to: data.appendingPathComponent("weights.bin"))
    XCTAssert(refusal { try use(folder) }.contains("weights.bin: expected 0 bytes, got 1"))
  }

  func testAnotherRuntime() throws {
    let bundle = try ModelBundle.open(try bundle())
    let line = refusal { _ = try bundle.runtime("coreml") }
    XCTAssert(line.contains("expected programs for coreml, got xnnpack; export for ios with --runtime coreml"), line)
    let runtime = try bundle.runtime("xnnpack")
    XCTAssert(refusal { _ = try bundle.file(.encodeImage, for: runtime) }.contains("expected the stage encode_image"))
  }

  func testVerifyingIsCancelled() async throws {
    let folder = try bundle()
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      _ = try ModelBundle.open(folder).tokenizer()
    }
    do {
      try await task.value
      XCTFail("expected a cancellation")
    } catch {
      XCTAssert(error is CancellationError, "\(error)")
    }
  }

  func testCompiledModelsAreFoundAgain() throws {
    let models = CompiledModels(of: "1", in: folder.appendingPathComponent("caches"))
    XCTAssertNil(models.find("denoise"))
    for content in ["first", "second"] {
      let made = folder.appendingPathComponent("denoise.mlmodelc")
      try FileManager.default.createDirectory(at: made, withIntermediateDirectories: false)
      try Data(content.utf8).write(to: made.appendingPathComponent("model"))
      let kept = models.keep(made, as: "denoise")
      XCTAssertEqual(models.find("denoise")?.path, kept.path)
      XCTAssertEqual(try String(contentsOf: kept.appendingPathComponent("model"), encoding: .utf8), content)
    }
    let blocked = CompiledModels(of: "1", in: URL(fileURLWithPath: "/dev/null"))
    XCTAssertEqual(blocked.keep(folder, as: "denoise"), folder)
    XCTAssertNil(blocked.find("denoise"))
  }

  func testCompiledModelsOfDeletedBundlesAreRemoved() throws {
    let (caches, files) = (folder.appendingPathComponent("caches"), FileManager.default)
    let digests = ["a", "b"].map { String(repeating: $0, count: 64) }
    for digest in digests {
      let made = folder.appendingPathComponent("made")
      try files.createDirectory(at: made, withIntermediateDirectories: false)
      _ = CompiledModels(of: digest, in: caches).keep(made, as: "denoise")
    }
    try files.createDirectory(at: caches.appendingPathComponent("other"), withIntermediateDirectories: false)
    CompiledModels.removeOthers(than: [digests[0]], in: caches)
    XCTAssertNotNil(CompiledModels(of: digests[0], in: caches).find("denoise"))
    XCTAssertNil(CompiledModels(of: digests[1], in: caches).find("denoise"))
    XCTAssertTrue(files.fileExists(atPath: caches.appendingPathComponent("other").path), "not a model's")
  }
}
