import Foundation
import MobileDiffusionKit

/// Puts bundles into the app's folder of models: whole and verified, or not at all.
///
/// Only what drawing needs is taken: the manifest, one runtime's programs, the tokenizer, the preview.
public struct BundleInstaller: Sendable {
  static let manifestName = "manifest.json"
  /// A manifest has some ten kilobytes; more than this many bytes are not read.
  static let manifestLimit = 4 << 20
  /// What the names of unfinished folders begin with, which no list of models shows.
  private static let (copyPrefix, downloadPrefix) = (".copy-", ".incoming-")
  private let models: URL

  public init(models: URL) {
    self.models = models
  }

  /// Copies a bundle from a folder, verifies the copy and gives its name in the folder of models.
  ///
  /// Throws the bundle's own line when it is damaged, and a line when a model of that name is there already.
  public func install(from folder: URL) async throws -> String {
    let text = try Self.readManifest(in: folder)
    let needed = try BundleContents(manifest: text, in: folder)
    try refuseDouble(needed.name)
    let draft = models.appendingPathComponent(Self.copyPrefix + UUID().uuidString, isDirectory: true)
    defer { try? FileManager.default.removeItem(at: draft) }
    for path in needed.files.map(\.path) {
      try Task.checkCancellation()
      try copy(path, from: folder, to: draft)
    }
    return try place(draft, manifest: text, name: needed.name)
  }

  /// Receives a bundle file by file, verifies it and gives its name in the folder of models.
  ///
  /// An interrupted download resumes where it stopped, even after the app has ended: received files are found by the
  /// hash of the manifest. `progress` receives the bytes that are there and the bytes of the whole.
  public func download(
    from source: any FileSource, progress: @escaping @Sendable (Int64, Int64) -> Void = { _, _ in }
  ) async throws -> String {
    let text = try await source.manifest(limit: Self.manifestLimit)
    let needed = try BundleContents(manifest: text)
    try refuseDouble(needed.name)
    let draft = models.appendingPathComponent(Self.downloadPrefix + digest(of: text), isDirectory: true)
    var done: Int64 = 0
    for file in needed.files {
      try Task.checkCancellation()
      let before = done
      try await receive(file, from: source, into: draft) { progress(before + $0, needed.size) }
      done += file.spec.size
    }
    return try place(draft, manifest: text, name: needed.name)
  }

  /// Removes copies that the app did not finish before it ended, and unfinished downloads last touched before a date.
  ///
  /// Called when nothing is being added.
  public func removeUnfinished(downloadsBefore date: Date) throws {
    let files = FileManager.default
    for folder in (try? files.contentsOfDirectory(at: models, includingPropertiesForKeys: nil)) ?? [] {
      let name = folder.lastPathComponent
      let isOld = try name.hasPrefix(Self.downloadPrefix) && changed(folder) < date
      if isOld || name.hasPrefix(Self.copyPrefix) { try files.removeItem(at: folder) }
    }
  }

  private func changed(_ folder: URL) throws -> Date {
    try FileManager.default.attributesOfItem(atPath: folder.path)[.modificationDate] as? Date ?? .distantPast
  }

  private func receive(
    _ file: BundleContents.File, from source: any FileSource, into draft: URL,
    progress: @escaping @Sendable (Int64) -> Void
  ) async throws {
    // A file takes its name only when it is right, and the whole bundle is verified once more at the end.
    if FileManager.default.fileExists(atPath: draft.appendingPathComponent(file.path).path) {
      return progress(file.spec.size)
    }
    let part = try PartialFile(path: file.path, in: draft, expected: file.spec, progress: progress)
    if part.size < file.spec.size { try await source.receive(file.path, into: part) }
    try part.finish()
  }

  private func copy(_ path: String, from folder: URL, to draft: URL) throws {
    let target = draft.appendingPathComponent(path)
    let files = FileManager.default
    try files.createDirectory(at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
    do {
      try files.copyItem(at: folder.appendingPathComponent(path), to: target)
    } catch CocoaError.fileReadNoSuchFile {
      throw DiffusionError("\(path): expected this file in \(folder.lastPathComponent), got none; copy the bundle anew")
    }
  }

  /// Verifies a draft and gives it its name.
  private func place(_ draft: URL, manifest: Data, name: String) throws -> String {
    try manifest.write(to: draft.appendingPathComponent(Self.manifestName), options: .atomic)
    do {
      try verify(draft)
    } catch {
      try? FileManager.default.removeItem(at: draft)
      throw error
    }
    try refuseDouble(name)
    try FileManager.default.moveItem(at: draft, to: models.appendingPathComponent(name))
    return name
  }

  /// Compares every file that drawing reads with the manifest.
  private func verify(_ folder: URL) throws {
    let bundle = try ModelBundle.open(folder)
    let runtime = try RuntimeChoice.current.runtime(of: bundle.manifest, in: folder)
    for stage in Stage.drawing { _ = try bundle.file(stage, for: runtime) }
    _ = try (bundle.tokenizer(), bundle.preview())
  }

  /// The manifest of a folder, read; throws a line when it is no bundle.
  static func manifest(in folder: URL) throws -> Manifest {
    try Manifest(text: [UInt8](readManifest(in: folder)))
  }

  private static func readManifest(in folder: URL) throws -> Data {
    let file = folder.appendingPathComponent(manifestName)
    guard let handle = try? FileHandle(forReadingFrom: file),
      let data = try? handle.read(upToCount: manifestLimit)
    else {
      throw DiffusionError(
        "\(folder.lastPathComponent): expected a bundle with manifest.json, got none; choose the folder that "
          + "`mobile-diffusion export` wrote")
    }
    return data
  }

  private func digest(of text: Data) -> String {
    var hash = SHA256()
    hash.update(text)
    return hash.finalize()
  }

  private func refuseDouble(_ name: String) throws {
    if FileManager.default.fileExists(atPath: models.appendingPathComponent(name).path) {
      throw DiffusionError("\(name): expected a new model, got one that is here already; delete the other first")
    }
  }
}
