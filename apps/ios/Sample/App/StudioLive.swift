import Foundation
import MobileDiffusionKit
import SampleCore

extension Studio {
  /// The studio of the app: models from its resources and its documents, run by Core AI, Core ML or ExecuTorch.
  static func live() -> Studio {
    let documents = FileManager.default.urls(for: .documentDirectory, in: .userDomainMask)[0]
    let caches = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask)[0]
    let folders = AppFolders(documents: documents, caches: caches)
    let verdicts = UnitVerdicts(folder: folders.golden)
    return Studio(
      folders: folders,
      builtIn: Bundle.main.url(forResource: "BundledModels", withExtension: nil),
      open: { try await Runtimes.pipeline(for: $0, verdicts) },
      measure: { try await Runtimes.measure($0, $1, verdicts, next: $2) },
      compare: { try await Runtimes.compare($0, next: $1) },
      encode: { $0.png })
  }
}
