import Foundation
import MobileDiffusionKit

/// Which units have drawn a model's golden pictures as PyTorch draws them, so that drawing prefers one of them.
///
/// A file per model; it counts as long as the model and the system are the same as then.
public struct UnitVerdicts: Sendable {
  private let folder: URL
  private let system: String

  /// `system` is its version, with which runtimes change.
  public init(folder: URL, system: String = ProcessInfo.processInfo.operatingSystemVersionString) {
    (self.folder, self.system) = (folder, system)
  }

  /// Keeps the units that passed; throws when they cannot be written.
  public func write(_ record: GoldenRecord, of card: ModelCard) throws {
    let passed = record.units.filter(\.isPassed).map { "\($0.runtime) \($0.unit.rawValue)" }
    let text = ([card.digest, system] + passed).joined(separator: "\n")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try Data(text.utf8).write(to: file(of: card), options: .atomic)
  }

  /// The unit to prefer with a runtime; nil when none of it passed, or nothing was compared since model or system
  /// changed.
  public func preferred(_ card: ModelCard, runtime: String) -> ComputeUnit? {
    guard let text = try? String(contentsOf: file(of: card), encoding: .utf8) else { return nil }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard lines.count > 2, lines[0] == card.digest, lines[1] == system else { return nil }
    for line in lines.dropFirst(2) where line.hasPrefix("\(runtime) ") {
      return ComputeUnit(rawValue: String(line.dropFirst(runtime.count + 1)))
    }
    return nil
  }

  private func file(of card: ModelCard) -> URL { folder.appendingPathComponent("\(card.id).passed") }
}
