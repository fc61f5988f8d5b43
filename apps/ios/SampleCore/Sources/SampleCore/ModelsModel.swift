import Foundation
import MobileDiffusionKit
import Observation

/// The models that are on this device, and the one that draws.
@MainActor @Observable
public final class ModelsModel {
  /// A folder that was meant to be a model, and the line that says why it is none.
  public struct Broken: Hashable, Identifiable, Sendable {
    public let id: String
    public let line: String
  }

  /// How far a download is.
  public struct Progress: Equatable, Sendable {
    public let bytes: Int64
    public let whole: Int64

    /// 0 to 1.
    public var fraction: Double { whole > 0 ? Double(bytes) / Double(whole) : 0 }
  }

  /// Those of the app first, then by name.
  public private(set) var cards: [ModelCard] = []
  public private(set) var broken: [Broken] = []
  /// The folder's name of the model that draws; it is kept for the next start.
  public private(set) var selected: String?
  /// The download or copy that is under way; its whole is 0 until it is known.
  public private(set) var progress: Progress?
  /// Why the last change failed.
  public var problem: String?

  @ObservationIgnored private var task: Task<Void, Never>?
  private let shelf: ModelShelf
  private let installer: BundleInstaller
  private let defaults: UserDefaults
  private static let key = "model"

  /// `builtIn` is the folder of models among the app's resources; `models` holds those that were added.
  public init(builtIn: URL?, models: URL, defaults: UserDefaults = .standard) {
    shelf = ModelShelf(builtIn: builtIn, models: models)
    installer = BundleInstaller(models: models)
    self.defaults = defaults
    selected = defaults.string(forKey: Self.key)
  }

  /// The model that draws; the first when none was chosen, nil when there is none.
  public var card: ModelCard? { cards.first { $0.id == selected } ?? cards.first }

  /// Whether a model is being added.
  public var isBusy: Bool { progress != nil }

  /// Reads the folders anew.
  public func refresh() {
    (cards, broken) = shelf.read()
  }

  /// Draws with this model from now on.
  public func select(_ card: ModelCard) {
    selected = card.id
    defaults.set(card.id, forKey: Self.key)
  }

  /// The model in a folder of a name; throws a line when there is none.
  public func find(_ name: String) throws -> ModelCard {
    if let card = cards.first(where: { $0.id == name }) { return card }
    if let other = broken.first(where: { $0.id == name }) { throw DiffusionError(other.line) }
    let known = cards.map(\.id).joined(separator: ", ")
    throw DiffusionError(
      "\(name): expected a model among \(known.isEmpty ? "none" : known); copy it to Documents/models")
  }

  /// Copies a folder that was chosen in Files.
  public func add(folder: URL) {
    begin { [installer] _ in
      // Folders outside the app can be read only between these two calls.
      let isScoped = folder.beginAccess()
      defer { if isScoped { folder.endAccess() } }
      return try await installer.install(from: folder)
    }
  }

  /// Downloads the bundle at an address, or resumes the download.
  public func download(from address: String) {
    begin { [installer] report in
      try await installer.download(from: WebSource(address: address), progress: report)
    }
  }

  /// Stops what is being added; what was downloaded is kept for the next try.
  public func cancel() {
    task?.cancel()
  }

  /// Waits until nothing is being added.
  public func finish() async {
    await task?.value
  }

  /// Removes a model that was added.
  public func delete(_ card: ModelCard) {
    guard !card.isBuiltIn else { return }
    remove(card.folder)
  }

  /// Removes a folder that is no model.
  public func delete(_ other: Broken) {
    remove(shelf.models.appendingPathComponent(other.id))
  }

  private func remove(_ folder: URL) {
    do {
      try FileManager.default.removeItem(at: folder)
    } catch {
      problem = DiffusionError.line(of: error)
    }
    refresh()
  }

  private typealias Report = @Sendable (Int64, Int64) -> Void

  private func begin(_ work: @escaping @Sendable (@escaping Report) async throws -> String) {
    guard !isBusy else { return }
    progress = Progress(bytes: 0, whole: 0)
    task = Task {
      do {
        let name = try await work { bytes, whole in
          Task { @MainActor [weak self] in self?.advance(Progress(bytes: bytes, whole: whole)) }
        }
        refresh()
        try select(find(name))
      } catch is CancellationError {
        refresh()
      } catch {
        problem = DiffusionError.line(of: error)
      }
      progress = nil
    }
  }

  private func advance(_ progress: Progress) {
    if isBusy { self.progress = progress }
  }
}

extension URL {
  fileprivate func beginAccess() -> Bool {
    #if canImport(Darwin)
      startAccessingSecurityScopedResource()
    #else
      false
    #endif
  }

  fileprivate func endAccess() {
    #if canImport(Darwin)
      stopAccessingSecurityScopedResource()
    #endif
  }
}
