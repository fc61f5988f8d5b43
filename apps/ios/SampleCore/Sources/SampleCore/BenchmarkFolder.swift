import Foundation
import MobileDiffusionKit

/// Reports on disk, one for each bundle: `<name>.json`, or `<name>.error` with one line.
///
/// Whoever waits for a report sees it appear whole or not at all.
public struct BenchmarkFolder: Sendable {
  public let folder: URL

  public init(folder: URL) {
    self.folder = folder
  }

  /// The report of a bundle.
  public func report(of name: String) -> URL { folder.appendingPathComponent("\(name).json") }

  /// The line that stands there instead when a benchmark failed.
  public func error(of name: String) -> URL { folder.appendingPathComponent("\(name).error") }

  /// Removes what an earlier benchmark of the bundle left.
  public func begin(_ name: String) throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for file in [report(of: name), error(of: name)] where FileManager.default.fileExists(atPath: file.path) {
      try FileManager.default.removeItem(at: file)
    }
  }

  /// Writes the text of `latency.json`.
  public func finish(_ name: String, json: String) throws {
    try Data(json.utf8).write(to: report(of: name), options: .atomic)
  }

  /// Writes one line.
  public func fail(_ name: String, error: any Error) throws {
    try Data((DiffusionError.line(of: error) + "\n").utf8).write(to: self.error(of: name), options: .atomic)
  }
}
