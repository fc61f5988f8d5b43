import ExecuTorchRunner
import Foundation
import MobileDiffusionKit
import SampleCore
import SwiftUI

@testable import Sample

/// Draws with the app's own models and views, and writes what every screen shows as the inside of a page.
///
///     preview DOCUMENTS TEXTS SYMBOLS OUT
///
/// DOCUMENTS is laid out like the app's on a phone, with a bundle of ExecuTorch in `models/emoji`; TEXTS are those of
/// the language, by their keys; SYMBOLS are drawings, by their names; OUT is the file that is written.
@main
struct Preview {
  static func main() async {
    do {
      try await write()
    } catch {
      FileHandle.standardError.write(Data("preview: \(DiffusionError.line(of: error))\n".utf8))
      exit(2)
    }
  }

  private static func write() async throws {
    let paths = CommandLine.arguments.dropFirst().map { URL(fileURLWithPath: $0) }
    guard paths.count == 4 else { throw DiffusionError("expected DOCUMENTS TEXTS SYMBOLS OUT, got \(paths.count)") }
    let album = try await Album(
      documents: paths[0], texts: try read(paths[1]), symbols: try read(paths[2]))
    let pages = try await album.pages()
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    try encoder.encode(pages).write(to: paths[3])
  }

  private static func read(_ file: URL) throws -> [String: String] {
    try JSONDecoder().decode([String: String].self, from: Data(contentsOf: file))
  }
}
