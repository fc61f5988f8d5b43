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

  /// Reads the text of a manifest; throws the manifest's own line. With a `folder`, the runtime is one whose programs
  /// are there.
  init(manifest text: Data, in folder: URL? = nil) throws {
    let manifest = try Manifest(text: [UInt8](text))
    try self.init(manifest, runtime: RuntimeChoice.current.runtime(of: manifest, in: folder))
  }

  init(_ manifest: Manifest, runtime: Runtime) throws {
    guard BenchmarkOrder.isFolderName(manifest.model) else {
      throw DiffusionError("manifest.json: expected a model's name that a folder can have, got \"\(manifest.model)\"")
    }
    name = manifest.model
    let programs = runtime.artifacts.map(\.path)
    let wanted = Set(programs + manifest.tokenizer.files + ["preview.json"])
    let parts = manifest.files.keys.filter { path in
      // A program for Core ML or Core AI is a folder.
      wanted.contains(path) || programs.contains { path.hasPrefix($0 + "/") }
    }
    files = parts.sorted().map { File(path: $0, spec: manifest.files[$0]!) }
  }
}
