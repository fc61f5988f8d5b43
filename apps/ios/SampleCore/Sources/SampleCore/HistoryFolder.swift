import Foundation

/// Pictures on disk: `<id>.png` and, written after it, `<id>.json`.
///
/// A picture without its record, or a record without its picture, is what an interrupted write leaves: it is not shown.
public struct HistoryFolder: Sendable {
  public let folder: URL

  public init(folder: URL) {
    self.folder = folder
  }

  /// The file of a picture.
  public func picture(of drawing: Drawing) -> URL {
    folder.appendingPathComponent("\(drawing.id.uuidString).png")
  }

  private func record(of drawing: Drawing) -> URL {
    folder.appendingPathComponent("\(drawing.id.uuidString).json")
  }

  /// Everything that is whole, the newest first.
  public func load() -> [Drawing] {
    let files = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
    let drawings = files.filter { $0.pathExtension == "json" }.compactMap(read)
    return drawings.sorted { ($0.date, $0.id.uuidString) > ($1.date, $1.id.uuidString) }
  }

  private func read(_ file: URL) -> Drawing? {
    guard let data = try? Data(contentsOf: file), let drawing = try? JSONDecoder().decode(Drawing.self, from: data),
      file.deletingPathExtension().lastPathComponent == drawing.id.uuidString,
      FileManager.default.fileExists(atPath: picture(of: drawing).path)
    else { return nil }
    return drawing
  }

  /// Writes a picture (a PNG file's bytes) and its record; throws when the storage is full or cannot be written to.
  public func add(_ drawing: Drawing, png: Data) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    let text = try encoder.encode(drawing)
    try png.write(to: picture(of: drawing), options: .atomic)
    try text.write(to: record(of: drawing), options: .atomic)
  }

  /// Removes a picture and its record, the record first.
  public func delete(_ drawing: Drawing) throws {
    for file in [record(of: drawing), picture(of: drawing)] where FileManager.default.fileExists(atPath: file.path) {
      try FileManager.default.removeItem(at: file)
    }
  }
}
