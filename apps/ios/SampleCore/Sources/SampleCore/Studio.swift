import Foundation
import MobileDiffusionKit
import Observation

/// Everything that the app knows; the screens read it from their environment.
@MainActor @Observable
public final class Studio {
  public let draw = DrawModel()
  public let history: HistoryModel
  public let models: ModelsModel
  public let benchmark: BenchmarkModel
  /// Why the app cannot keep anything, if so.
  public private(set) var problem: String?
  /// Seconds for which an unfinished download waits to be resumed: a week.
  private static let kept: TimeInterval = 7 * 24 * 3600
  private let folders: AppFolders
  private let easel: Easel
  private let measure: MeasureModel
  private let compare: CompareModel
  /// The bytes of a PNG file.
  private let encode: @MainActor (Picture) -> Data?

  /// `open`, `measure` and `compare` know the runtimes, `encode` the system's pictures; everything else is the same in tests.
  public init(
    folders: AppFolders, builtIn: URL?, defaults: UserDefaults = .standard, open: @escaping OpenArtist,
    measure: @escaping MeasureModel, compare: @escaping CompareModel, encode: @escaping @MainActor (Picture) -> Data?
  ) {
    self.folders = folders
    self.measure = measure
    self.compare = compare
    self.encode = encode
    easel = Easel(open: open)
    history = HistoryModel(folder: HistoryFolder(folder: folders.history))
    models = ModelsModel(builtIn: builtIn, models: folders.models, defaults: defaults)
    benchmark = BenchmarkModel(
      folder: BenchmarkFolder(folder: folders.benchmark), golden: BenchmarkFolder(folder: folders.golden))
  }

  /// Reads what is on the device, and begins the benchmark that the launch arguments ask for; true if there is one.
  @discardableResult
  public func start(arguments: [String]) -> Bool {
    do {
      try folders.create()
      try BundleInstaller(models: folders.models).removeUnfinished(downloadsBefore: .now - Self.kept)
    } catch {
      problem = DiffusionError.line(of: error)
    }
    models.refresh()
    history.refresh()
    let digests = models.cards.compactMap { try? ModelBundle.open($0.folder).digest }
    CompiledModels.removeOthers(than: digests, in: folders.caches)
    useCard()
    return startBenchmark(arguments)
  }

  private func startBenchmark(_ arguments: [String]) -> Bool {
    do {
      guard let order = try BenchmarkOrder.read(arguments) else { return false }
      let find = { [models] in try models.find(order.name) }
      if order.isGolden {
        compare(order.name, card: find)
      } else {
        benchmark.start(order, card: find, measure: measureAlone)
      }
    } catch {
      problem = DiffusionError.line(of: error)
    }
    return true
  }

  /// Draws what the drawing screen asks for; the picture goes into the history.
  ///
  /// The models are read anew: one that was replaced meanwhile is another card, and is opened again.
  public func drawPicture() {
    models.refresh()
    guard let card = models.card else { return }
    if card.controls != draw.hints.count { draw.offer(card) }
    draw.draw(
      card: card, use: { [easel] in try await easel.use($0, $1) },
      keep: { [history, encode] drawing, picture in
        if let png = encode(picture) { history.add(drawing, png: png) }
      })
  }

  /// Times the model that draws.
  public func measureModel() {
    guard let card = models.card else { return }
    benchmark.start(card, measure: measureAlone)
  }

  /// Compares the model that draws with PyTorch, on every unit.
  public func compareModel() {
    guard let card = models.card else { return }
    compare(card.id, card: { card })
  }

  private func compare(_ name: String, card: @escaping () throws -> ModelCard) {
    benchmark.compare(
      name, card: card, verdicts: UnitVerdicts(folder: folders.golden),
      compare: { [easel, compare] card, next in try await easel.alone { try await compare(card, next) } })
  }

  /// Measures when nothing is drawn; the open model is given up first, so that no stage is in memory twice.
  private var measureAlone: MeasureModel {
    { [easel, measure] card, order, next in try await easel.alone { try await measure(card, order, next) } }
  }

  /// Draws with another model from now on, at its own scale of guidance.
  public func select(_ card: ModelCard) {
    models.select(card)
    useCard()
  }

  /// Gives the memory of all stages back, when the system asks for it or the app leaves the screen.
  ///
  /// A drawing that is under way continues: its pipeline loads again what it needs.
  public func unload() {
    Task { [easel] in await easel.unload() }
  }

  private func useCard() {
    if let card = models.card { draw.offer(card) }
  }
}
