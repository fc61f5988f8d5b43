/// Times of stages and the conditions they were taken under.
public struct LatencyReport: Equatable, Sendable {
  /// The machine, at the start of the measurement.
  public struct Conditions: Equatable, Sendable {
    /// Processor or device, such as "iPhone15,2".
    public let processor: String
    /// Logical processors.
    public let cores: Int
    /// Operating system, such as "iOS 17.4.1".
    public let system: String
    /// Load average of the last minute; nil where the system has none.
    public let load: Double?
    /// How warm the device is: "nominal", "fair", "serious" or "critical"; "" where the system does not say.
    public let thermal: String
  }

  /// Times of the calls of one stage.
  public struct Times: Equatable, Sendable {
    public let stage: Stage
    /// One for each call, as they were made.
    public let milliseconds: [Double]
  }

  public let conditions: Conditions
  public let runner: RunnerDescription
  public let stages: [Times]

  /// The text of `latency.json`. Times of a simulator are marked as an interpreter's: they are no device's.
  public var json: String {
    #if targetEnvironment(simulator)
      let kind = "interpreter"
    #else
      let kind = "runtime"
    #endif
    let entry = JSON.object([
      "runner": .text(runner.name), "kind": .text(kind), "version": .text(runner.version),
      "threads": runner.threads.map { .whole(Int64($0)) } ?? .null, "stages": .list(stages.map(\.json)),
    ])
    return JSON.object(["conditions": conditions.value, "runners": .list([entry])]).description + "\n"
  }
}

extension LatencyReport.Conditions {
  var value: JSON {
    var members = [
      JSON.Member(name: "processor", value: .text(processor)), JSON.Member(name: "cores", value: .whole(Int64(cores))),
      JSON.Member(name: "system", value: .text(system)),
      JSON.Member(name: "load", value: load.map(JSON.number) ?? .null),
    ]
    if !thermal.isEmpty { members.append(JSON.Member(name: "thermal", value: .text(thermal))) }
    return .object(members)
  }
}

extension LatencyReport.Times {
  /// Linear between the neighbours, as numpy has it; `fraction` of the calls took no longer.
  func percentile(_ fraction: Double) -> Double {
    let sorted = milliseconds.sorted()
    let place = fraction * Double(sorted.count - 1)
    let below = Int(place)
    let above = min(below + 1, sorted.count - 1)
    return sorted[below] + (place - Double(below)) * (sorted[above] - sorted[below])
  }

  fileprivate var json: JSON {
    let (first, third) = (percentile(0.25), percentile(0.75))
    return .object([
      "stage": .text(stage.rawValue), "median_ms": .number(percentile(0.5)), "first_quartile_ms": .number(first),
      "third_quartile_ms": .number(third), "runs": .whole(Int64(milliseconds.count)),
      "spread_ms": .number(third - first),
    ])
  }
}
