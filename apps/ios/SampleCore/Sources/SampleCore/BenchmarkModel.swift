import Foundation
import MobileDiffusionKit
import Observation

/// Times every stage of a model as often as an order says and gives the text of `latency.json`; tells which
/// stage is next.
public typealias MeasureModel =
  @Sendable (ModelCard, BenchmarkOrder, @escaping @Sendable (String) -> Void) async throws -> String

/// Compares a model with PyTorch on every unit; tells which unit is next.
public typealias CompareModel =
  @Sendable (ModelCard, @escaping @Sendable (String) -> Void) async throws -> GoldenRecord

/// What the benchmark screen shows, and what its buttons do.
@MainActor @Observable
public final class BenchmarkModel {
  /// Where a benchmark is.
  public enum Phase: Equatable, Sendable {
    case idle
    /// The stage that is being timed; nil while the model is opened.
    case measuring(stage: String?)
    /// The unit that is being compared; nil while the model is opened.
    case comparing(unit: String?)
    case finished
    case compared
    case cancelled
    /// One line that says what was wrong.
    case failed(String)
  }

  /// Timed runs of each stage.
  public var runs = 10
  public private(set) var phase = Phase.idle
  /// The last report.
  public private(set) var report: BenchmarkReport?
  /// The last comparison.
  public private(set) var record: GoldenRecord?
  /// The file of the last report, to be shared.
  public private(set) var file: URL?

  @ObservationIgnored private var task: Task<Void, Never>?
  private let folder: BenchmarkFolder
  private let golden: BenchmarkFolder

  /// `golden` is where comparisons are left.
  public init(folder: BenchmarkFolder, golden: BenchmarkFolder) {
    (self.folder, self.golden) = (folder, golden)
  }

  /// Whether a benchmark or a comparison is under way.
  public var isMeasuring: Bool {
    switch phase {
    case .measuring, .comparing: true
    default: false
    }
  }

  /// Begins to time a model; a benchmark that is under way is left alone.
  public func start(_ card: ModelCard, measure: @escaping MeasureModel) {
    start(BenchmarkOrder(name: card.id, runs: runs), card: { card }, measure: measure)
  }

  /// Begins a benchmark that was asked for from outside; `card` looks its bundle up, and throws when there is none.
  public func start(
    _ order: BenchmarkOrder, card: @escaping () throws -> ModelCard, measure: @escaping MeasureModel
  ) {
    guard !isMeasuring else { return }
    runs = order.runs
    phase = .measuring(stage: nil)
    task = Task {
      do {
        try folder.begin(order.name)
        let json = try await measure(card(), order) { stage in
          Task { @MainActor [weak self] in self?.next(stage) }
        }
        try Task.checkCancellation()
        try show(json, name: order.name)
      } catch {
        end(order.name, in: folder, with: error)
      }
    }
  }

  /// Begins to compare a model with PyTorch; `card` looks its bundle up, and throws when there is none.
  public func compare(
    _ name: String, card: @escaping () throws -> ModelCard, verdicts: UnitVerdicts, compare: @escaping CompareModel
  ) {
    guard !isMeasuring else { return }
    phase = .comparing(unit: nil)
    task = Task {
      do {
        try golden.begin(name)
        let card = try card()
        let record = try await compare(card) { unit in
          Task { @MainActor [weak self] in self?.next(unit: unit) }
        }
        try Task.checkCancellation()
        try verdicts.write(record, of: card)
        try golden.finish(name, json: record.json)
        (self.record, file, phase) = (record, golden.report(of: name), .compared)
      } catch {
        end(name, in: golden, with: error)
      }
    }
  }

  /// Stops a benchmark after the call that is under way.
  public func cancel() {
    task?.cancel()
  }

  /// Waits until a benchmark has ended.
  public func finish() async {
    await task?.value
  }

  private func next(_ stage: String) {
    if isMeasuring { phase = .measuring(stage: stage) }
  }

  private func next(unit: String) {
    if isMeasuring { phase = .comparing(unit: unit) }
  }

  private func show(_ json: String, name: String) throws {
    let report = try BenchmarkReport.read(json)
    try folder.finish(name, json: json)
    self.report = report
    file = folder.report(of: name)
    phase = .finished
  }

  private func end(_ name: String, in folder: BenchmarkFolder, with error: any Error) {
    phase = error is CancellationError ? .cancelled : .failed(DiffusionError.line(of: error))
    // Whoever waits outside gets the line; when even that cannot be written, the screen alone has it.
    try? folder.fail(name, error: error)
  }
}
