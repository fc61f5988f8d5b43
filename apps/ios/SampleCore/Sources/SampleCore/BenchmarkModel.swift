import Foundation
import MobileDiffusionKit
import Observation

/// Times every stage of a model as often as an order says and gives the text of `latency.json`; tells which
/// stage is next.
public typealias MeasureModel =
  @Sendable (ModelCard, BenchmarkOrder, @escaping @Sendable (String) -> Void) async throws -> String

/// What the benchmark screen shows, and what its buttons do.
@MainActor @Observable
public final class BenchmarkModel {
  /// Where a benchmark is.
  public enum Phase: Equatable, Sendable {
    case idle
    /// The stage that is being timed; nil while the model is opened.
    case measuring(stage: String?)
    case finished
    case cancelled
    /// One line that says what was wrong.
    case failed(String)
  }

  /// Timed runs of each stage.
  public var runs = 10
  public private(set) var phase = Phase.idle
  /// The last report.
  public private(set) var report: BenchmarkReport?
  /// Its file, to be shared.
  public private(set) var file: URL?

  @ObservationIgnored private var task: Task<Void, Never>?
  private let folder: BenchmarkFolder

  public init(folder: BenchmarkFolder) {
    self.folder = folder
  }

  /// Whether a benchmark is under way.
  public var isMeasuring: Bool {
    if case .measuring = phase { true } else { false }
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
        end(order.name, with: error)
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

  private func show(_ json: String, name: String) throws {
    let report = try BenchmarkReport.read(json)
    try folder.finish(name, json: json)
    self.report = report
    file = folder.report(of: name)
    phase = .finished
  }

  private func end(_ name: String, with error: any Error) {
    phase = error is CancellationError ? .cancelled : .failed(DiffusionError.line(of: error))
    // Whoever waits outside gets the line; when even that cannot be written, the screen alone has it.
    try? folder.fail(name, error: error)
  }
}
