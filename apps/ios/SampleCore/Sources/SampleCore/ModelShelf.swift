import Foundation
import MobileDiffusionKit

/// Looks for models in the app's resources and in its documents.
///
/// A look reads manifests only; hashes are compared when a model is added, and again when it is opened.
struct ModelShelf: Sendable {
  let builtIn: URL?
  let models: URL

  /// Cards of all folders with a manifest that can be read, and the lines of those without.
  @MainActor func read() -> ([ModelCard], [ModelsModel.Broken]) {
    var cards: [ModelCard] = []
    var broken: [ModelsModel.Broken] = []
    for (place, isBuiltIn) in [(builtIn, true), (models, false)] {
      for folder in folders(in: place) where !cards.contains(where: { $0.id == folder.lastPathComponent }) {
        do {
          try cards.append(card(of: folder, isBuiltIn: isBuiltIn))
        } catch {
          broken.append(.init(id: folder.lastPathComponent, line: DiffusionError.line(of: error)))
        }
      }
    }
    return (cards, broken)
  }

  private func folders(in place: URL?) -> [URL] {
    guard let place else { return [] }
    let found = try? FileManager.default.contentsOfDirectory(
      at: place, includingPropertiesForKeys: [.isDirectoryKey], options: .skipsHiddenFiles)
    let folders = (found ?? []).filter { (try? $0.resourceValues(forKeys: [.isDirectoryKey]))?.isDirectory == true }
    return folders.sorted { $0.lastPathComponent < $1.lastPathComponent }
  }

  private func card(of folder: URL, isBuiltIn: Bool) throws -> ModelCard {
    let manifest = try BundleInstaller.manifest(in: folder)
    let encoder = manifest.spec(of: .encodeImage)
    let runtime = try RuntimeChoice.current.runtime(of: manifest, in: folder)
    return ModelCard(
      id: folder.lastPathComponent, folder: folder, digest: try ModelBundle.open(folder).digest,
      title: manifest.model, licence: manifest.licence, runtime: runtime.name,
      precision: runtime.precision, steps: manifest.schedule.steps,
      guidance: manifest.schedule.guidanceKind == .cfg ? manifest.schedule.guidance : nil, styles: manifest.styles,
      startSize: PixelSize(shape: encoder?.inputs.first?.shape),
      latentSize: PixelSize(shape: encoder?.outputs.first?.shape),
      edits: manifest.editsPictures,
      pictureSize: PixelSize(shape: manifest.spec(of: .decodeImage)?.outputs.first?.shape),
      controls: manifest.controls, bytes: try BundleContents(manifest, runtime: runtime).size, isBuiltIn: isBuiltIn)
  }
}
