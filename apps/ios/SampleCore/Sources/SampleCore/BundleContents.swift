import Foundation
import MobileDiffusionKit

/// What of a bundle an app needs, by its manifest.
struct BundleContents {
  /// A file below the bundle's folder.
  struct File {
    let path: String
    let spec: FileSpec
  }

  /// The model's name, which is that of its folder.
  let name: String
  /// Programs of one runtime, tokenizer, preview; in the order of their paths.
  let files: [File]

  /// Bytes of all files.
  var size: Int64 { files.reduce(0) { $0 + $1.spec.size } }

  /// Reads the text of a manifest; throws the manifest's own line.
  init(manifest text: Data) throws {
    try self.init(Manifest(text: [UInt8](text)))
  }

  init(_ manifest: Manifest) throws {
    guard BenchmarkOrder.isFolderName(manifest.model) else {
      throw DiffusionError("manifest.json: expected a model's name that a folder can have, got \"\(manifest.model)\"")
    }
    name = manifest.model
    let programs = try manifest.usableRuntime().artifacts.map(\.path)
    let wanted = Set(programs + manifest.tokenizer.files + ["preview.json"])
    let parts = manifest.files.keys.filter { path in
      wanted.contains(path) || programs.contains { path.hasPrefix($0 + "/") }  // a Core ML package is a folder
    }
    files = parts.sorted().map { File(path: $0, spec: manifest.files[$0]!) }
  }
}
