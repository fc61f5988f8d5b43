import Foundation

/// An opened bundle: its folder, its manifest, and the files that are used, each checked against its size and hash.
public struct ModelBundle: Sendable {
  public let folder: URL
  public let manifest: Manifest
  /// SHA-256 of `manifest.json`: two bundles with the same one hold the same files.
  public let digest: String

  /// The folder's name.
  public var name: String { folder.lastPathComponent }

  /// Reads the manifest of a folder; throws one line when there is none or it is refused. Files are checked when they
  /// are asked for.
  public static func open(_ folder: URL) throws -> ModelBundle {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: folder.path, isDirectory: &isFolder)
    let got = exists ? "a file" : "nothing of that name"
    try require(isFolder.boolValue, "\(folder.path): expected a bundle folder, got \(got)")
    let file = folder.appendingPathComponent(Manifest.fileName)
    try require(
      file.fileType == .typeRegular, "\(folder.path): expected a bundle, got a folder without manifest.json")
    let text = try read(file)
    var hash = SHA256()
    hash.update(text)
    return ModelBundle(
      folder: folder, manifest: try Manifest(text: Array(text), in: file.path), digest: hash.finalize())
  }

  /// The runtime of this name; throws when the bundle has no programs for it.
  public func runtime(_ name: String) throws -> Runtime {
    if let runtime = manifest.runtimes.first(where: { $0.name == name }) { return runtime }
    let names = manifest.runtimes.map(\.name).joined(separator: ", ")
    let target = ["coreml", "coreai", "executorch"].contains(name) ? "ios" : "android"
    throw DiffusionError(
      "\(folder.path): expected programs for \(name), got \(names); export for \(target) with --runtime \(name)")
  }

  /// The program of a stage for a runtime, a file or a folder, once it has been checked against the manifest.
  ///
  /// Throws when a file is missing, changed, reached through a link, or not listed; `CancellationError` when the task
  /// that asks is cancelled, as large files take seconds.
  public func file(_ stage: Stage, for runtime: Runtime) throws -> URL {
    guard let artifact = runtime.artifacts.first(where: { $0.stage == stage }) else {
      throw DiffusionError("\(folder.path): expected the stage \(stage.rawValue), got none; export the bundle again")
    }
    return try verified(artifact.path)
  }

  /// A file or folder of the bundle once it has been checked against the manifest; throws as `file` does.
  func verified(_ path: String) throws -> URL {
    if let spec = manifest.files[path] { return try verified(path, spec) }
    let inside = manifest.files.filter { $0.key.hasPrefix(path + "/") }
    if inside.isEmpty { throw damage(path, expected: "a file that the manifest lists", got: "another") }
    for (path, spec) in inside.sorted(by: { $0.key < $1.key }) { _ = try verified(path, spec) }
    let place = folder.appendingPathComponent(path)
    for file in FileManager.default.enumerator(atPath: place.path)?.compactMap({ $0 as? String }) ?? [] {
      let isListed = inside[path + "/" + file] != nil || file.hasSuffix(".DS_Store")
      let isFolder = place.appendingPathComponent(file).fileType == .typeDirectory
      if !isListed, !isFolder {
        throw damage(path + "/" + file, expected: "exactly the files of the manifest", got: "not in the manifest")
      }
    }
    return place
  }

  private func verified(_ path: String, _ spec: FileSpec) throws -> URL {
    try checkLinks(path)
    let place = folder.appendingPathComponent(path)
    guard place.fileType == .typeRegular else { throw damage(path, expected: "a file", got: "none") }
    let size = try FileManager.default.attributesOfItem(atPath: place.path)[.size] as? Int64 ?? 0
    guard size == spec.size else { throw damage(path, expected: "\(spec.size) bytes", got: "\(size)") }
    let digest = try Self.digest(of: place)
    guard digest == spec.sha256 else {
      throw damage(path, expected: "SHA-256 \(spec.sha256.prefix(12))...", got: "\(digest.prefix(12))...")
    }
    return place
  }

  /// Throws when a folder of the path, or the file itself, is a link.
  private func checkLinks(_ path: String) throws {
    var place = folder
    for part in path.split(separator: "/") {
      place.appendPathComponent(String(part))
      if place.fileType == .typeSymbolicLink { throw damage(path, expected: "a plain file", got: "a link") }
    }
  }

  private func damage(_ path: String, expected: String, got: String) -> DiffusionError {
    DiffusionError("\(folder.path): \(path): expected \(expected), got \(got); the bundle is damaged: export it again")
  }

  static func read(_ file: URL) throws -> Data {
    do {
      return try Data(contentsOf: file)
    } catch {
      throw DiffusionError("\(file.path): expected a file that can be read, got an error")
    }
  }

  /// SHA-256 of a file, read in parts.
  private static func digest(of file: URL) throws -> String {
    let size = 1 << 20
    var hash = SHA256()
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
    defer { buffer.deallocate() }
    let stream = InputStream(url: file)
    stream?.open()
    defer { stream?.close() }
    while true {
      try Task.checkCancellation()
      let count = stream?.read(buffer.baseAddress!.assumingMemoryBound(to: UInt8.self), maxLength: size) ?? -1
      try require(count >= 0, "\(file.path): expected a file that can be read, got an error")
      if count == 0 { return hash.finalize() }
      hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
  }
}

extension ModelBundle {
  /// The tokenizer; throws when a file of it is damaged or is not one that is known here.
  public func tokenizer() throws -> any Tokenizer {
    let files = try manifest.tokenizer.files.map { path in
      let file = try verified(path)
      return (text: Array(try Self.read(file)), place: file.path)
    }
    return try openTokenizer(manifest.tokenizer, files)
  }

  /// How latents are shown while they clear; nil when the bundle does not say.
  public func preview() throws -> Preview? {
    let path = "preview.json"
    guard manifest.files[path] != nil else { return nil }
    let channels = try DrawSettings(manifest).latents.shape[1]
    return try Preview(text: Array(try Self.read(try verified(path))), channels: channels)
  }
}

extension URL {
  /// What is at a path, links not followed; nil for nothing.
  fileprivate var fileType: FileAttributeType? {
    try? FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType
  }
}
