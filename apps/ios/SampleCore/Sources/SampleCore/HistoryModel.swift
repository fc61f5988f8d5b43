import Foundation
import MobileDiffusionKit
import Observation

/// The pictures that the history shows.
@MainActor @Observable
public final class HistoryModel {
  /// The newest first.
  public private(set) var drawings: [Drawing] = []
  /// Why the last change was not kept.
  public var problem: String?
  private let folder: HistoryFolder

  public init(folder: HistoryFolder) {
    self.folder = folder
  }

  /// Reads the folder anew.
  public func refresh() {
    drawings = folder.load()
  }

  /// The file of a picture.
  public func picture(of drawing: Drawing) -> URL {
    folder.picture(of: drawing)
  }

  /// Keeps a picture, given as a PNG file's bytes.
  public func add(_ drawing: Drawing, png: Data) {
    attempt { try folder.add(drawing, png: png) }
  }

  /// Removes a picture for good.
  public func delete(_ drawing: Drawing) {
    attempt { try folder.delete(drawing) }
  }

  private func attempt(_ change: () throws -> Void) {
    do {
      try change()
    } catch {
      problem = DiffusionError.line(of: error)
    }
    refresh()
  }
}
