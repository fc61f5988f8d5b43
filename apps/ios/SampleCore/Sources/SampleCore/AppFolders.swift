import Foundation

/// Where the app keeps what it owns.
public struct AppFolders: Sendable {
  /// The app's documents; the Files app shows them, and `devicectl` copies to and from them.
  public let documents: URL
  /// What the system may remove at any time; compiled models are there.
  public let caches: URL

  public init(documents: URL, caches: URL) {
    (self.documents, self.caches) = (documents, caches)
  }

  /// Bundles, one folder each.
  public var models: URL { documents.appendingPathComponent("models", isDirectory: true) }

  /// Pictures that were drawn, with what they were drawn from.
  public var history: URL { documents.appendingPathComponent("history", isDirectory: true) }

  /// Reports of benchmarks, one for each bundle.
  public var benchmark: URL { documents.appendingPathComponent("benchmark", isDirectory: true) }

  /// Comparisons with PyTorch, one for each bundle.
  public var golden: URL { documents.appendingPathComponent("golden", isDirectory: true) }

  /// Creates what is missing; throws when the storage is full or cannot be written to.
  public func create() throws {
    for folder in [models, history, benchmark, golden] {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }
    #if canImport(Darwin)
      // Models can be added again; a backup would hold gigabytes of them.
      var (place, values) = (models, URLResourceValues())
      values.isExcludedFromBackup = true
      try place.setResourceValues(values)
    #endif
  }
}
