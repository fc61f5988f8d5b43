import Foundation
import MobileDiffusionKit

/// Where the files of a bundle come from.
public protocol FileSource: Sendable {
  /// The bytes of `manifest.json`; throws `DiffusionError` in one line when there is none, or more than `limit` bytes.
  func manifest(limit: Int) async throws -> Data

  /// Appends the bytes of a file to `part`, from `part.size` on; calls `part.restart()` when only the whole can be had.
  ///
  /// Throws `DiffusionError` in one line, or `CancellationError`; the appended bytes stay, so that the next call
  /// resumes there.
  func receive(_ path: String, into part: PartialFile) async throws
}
