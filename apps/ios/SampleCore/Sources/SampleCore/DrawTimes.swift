/// Where the time of a picture went, in milliseconds.
public struct DrawTimes: Equatable, Sendable {
  /// Until the first step was taken: the text, stages that had to be loaded, and that step.
  public let first: Double
  /// One for each step after the first.
  public let steps: [Double]
  /// From the last step to the picture.
  public let decoding: Double
  /// From the request to the picture, as the pipeline counts it.
  public let total: Double

  public init(first: Double, steps: [Double], decoding: Double, total: Double) {
    self.first = first
    self.steps = steps
    self.decoding = decoding
    self.total = total
  }

  /// The middle of the steps' times; nil when there was one step.
  public var step: Double? {
    let sorted = steps.sorted()
    guard !sorted.isEmpty else { return nil }
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
  }
}

/// Takes the times of a drawing from its events.
struct Stopwatch {
  private let start: ContinuousClock.Instant
  private var steps: [ContinuousClock.Instant] = []

  init(start: ContinuousClock.Instant = .now) {
    self.start = start
  }

  /// A step has been taken.
  mutating func step(at instant: ContinuousClock.Instant = .now) {
    steps.append(instant)
  }

  /// The picture is there, `milliseconds` after the request by the pipeline's own clock.
  func finish(milliseconds: Double, at instant: ContinuousClock.Instant = .now) -> DrawTimes {
    guard let first = steps.first, let last = steps.last else {
      return DrawTimes(first: 0, steps: [], decoding: 0, total: milliseconds)
    }
    let between = zip(steps, steps.dropFirst()).map { ($1 - $0).milliseconds }
    return DrawTimes(
      first: (first - start).milliseconds, steps: between, decoding: (instant - last).milliseconds, total: milliseconds)
  }
}

extension Duration {
  /// The duration in milliseconds.
  var milliseconds: Double {
    Double(components.seconds) * 1e3 + Double(components.attoseconds) * 1e-15
  }
}
