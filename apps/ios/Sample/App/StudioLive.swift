import Foundation
import MobileDiffusionKit
import SampleCore

extension Studio {
  /// The studio of the app: models from its resources and its documents, run by Core AI, Core ML or ExecuTorch.
  static func live() -> Studio {
    let documents = FileManager.default.urls(for: .documentDirectory, in: .userDomainMask)[0]
    let caches = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask)[0]
    return Studio(
      folders: AppFolders(documents: documents, caches: caches),
      builtIn: Bundle.main.url(forResource: "BundledModels", withExtension: nil),
      open: { try await Runtimes.pipeline(for: $0) },
      measure: { try await Runtimes.measure($0, $1, next: $2) },
      encode: { $0.png })
  }
}
