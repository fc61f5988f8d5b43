import Foundation
import MobileDiffusionKit

/// A file that is being received: it grows as `<name>.part`, is hashed as it grows, and takes its name when it is whole
/// and right.
///
/// Used by one task at a time.
public final class PartialFile: @unchecked Sendable {
  /// Bytes that have been received.
  public private(set) var size: Int64 = 0
  private let path: String
  private let target: URL
  private let part: URL
  private let expected: FileSpec
  private let progress: @Sendable (Int64) -> Void
  private var hash = SHA256()
  private var handle: FileHandle

  /// Opens what an earlier try has left of a file, or begins it; `progress` is told every change of `size`.
  init(
    path: String, in folder: URL, expected: FileSpec, progress: @escaping @Sendable (Int64) -> Void = { _ in }
  ) throws {
    self.path = path
    self.expected = expected
    self.progress = progress
    target = folder.appendingPathComponent(path)
    part = target.appendingPathExtension("part")
    let files = FileManager.default
    try files.createDirectory(at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
    if !files.fileExists(atPath: part.path) {
      try Data().write(to: part)
    }
    handle = try FileHandle(forUpdating: part)
    while let block = try handle.read(upToCount: 1 << 20), !block.isEmpty {
      count(block)
    }
    if size > expected.size { try restart() }
  }

  /// Adds bytes; throws when there are more than there should be, or the storage is full.
  public func append(_ data: Data) throws {
    guard size + Int64(data.count) <= expected.size else {
      try restart()
      throw DiffusionError("\(path): expected \(expected.size) bytes, got more; look at the address")
    }
    try handle.write(contentsOf: data)
    count(data)
  }

  /// Throws away what has been received.
  public func restart() throws {
    try handle.truncate(atOffset: 0)
    try handle.seek(toOffset: 0)
    size = 0
    hash = SHA256()
    progress(size)
  }

  /// Gives the file its name; throws when bytes are missing, which can be received later, or when the hash is another,
  /// and then nothing is kept.
  func finish() throws {
    guard size == expected.size else {
      throw DiffusionError("\(path): expected \(expected.size) bytes, got \(size); try again to receive the rest")
    }
    let digest = hash.finalize()
    guard digest == expected.sha256 else {
      try restart()
      throw DiffusionError(
        "\(path): expected SHA-256 \(expected.sha256.prefix(12))..., got \(digest.prefix(12))...; try again")
    }
    try handle.close()
    try FileManager.default.moveItem(at: part, to: target)
  }

  private func count(_ data: Data) {
    size += Int64(data.count)
    hash.update(data)
    progress(size)
  }
}
