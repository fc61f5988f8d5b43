import Foundation

/// Compiled models of one bundle, kept among the app's caches from one launch to the next.
///
/// The folder is named by the bundle's digest, so an updated bundle finds none of its predecessor's. The system may
/// empty it at any time.
public struct CompiledModels: Sendable {
  private let folder: URL

  private static let prefix = "models-"

  /// Those of the bundle with this digest, among the app's caches.
  public init(of digest: String, in caches: URL) {
    folder = caches.appendingPathComponent(Self.name(of: digest))
  }

  /// Removes those of bundles that are not here any more: of all but these digests.
  public static func removeOthers(than digests: [String], in caches: URL) {
    let (files, kept) = (FileManager.default, Set(digests.map(name)))
    for place in (try? files.contentsOfDirectory(at: caches, includingPropertiesForKeys: nil)) ?? []
    where place.lastPathComponent.hasPrefix(prefix) && !kept.contains(place.lastPathComponent) {
      try? files.removeItem(at: place)
    }
  }

  private static func name(of digest: String) -> String { prefix + digest.prefix(16) }

  private func place(of name: String) -> URL { folder.appendingPathComponent("\(name).mlmodelc") }

  /// The compiled model of this name; nil when there is none.
  public func find(_ name: String) -> URL? {
    FileManager.default.fileExists(atPath: place(of: name).path) ? place(of: name) : nil
  }

  /// Moves a model that has just been compiled here, in the place of an older one, and gives its new path. On storage
  /// that cannot be written to it stays where it is.
  public func keep(_ made: URL, as name: String) -> URL {
    let (files, place) = (FileManager.default, place(of: name))
    do {
      try files.createDirectory(at: folder, withIntermediateDirectories: true)
      if files.fileExists(atPath: place.path) { try files.removeItem(at: place) }
      try files.moveItem(at: made, to: place)
      return place
    } catch {
      return made
    }
  }
}
