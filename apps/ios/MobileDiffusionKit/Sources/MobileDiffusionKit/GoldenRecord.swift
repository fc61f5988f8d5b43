/// A part of the device on which a runtime can be told to compute.
public enum ComputeUnit: String, CaseIterable, Sendable {
  /// Whatever the runtime likes.
  case all
  case cpu
  /// With Core ML, the processor too.
  case gpu
  /// With Core ML, the processor too.
  case neuralEngine = "neural_engine"
}

/// The comparisons on every unit: what `mobile-diffusion device verify` reads.
public struct GoldenRecord: Equatable, Sendable {
  /// What a comparison on one unit gave: distances, or the line that says why there are none.
  public struct Unit: Equatable, Sendable {
    public let runtime: String
    public let unit: ComputeUnit
    /// Of the runtime; "" where it has none of its own.
    public let version: String
    public let report: GoldenReport?
    public let error: String

    public init(runtime: String, unit: ComputeUnit, version: String, report: GoldenReport?, error: String = "") {
      (self.runtime, self.unit, self.version) = (runtime, unit, version)
      (self.report, self.error) = (report, error)
    }

    public var isPassed: Bool { report?.isPassed == true }
  }

  public let conditions: LatencyReport.Conditions
  /// The one to prefer first.
  public let units: [Unit]

  /// `units` were compared one after the other, the one to prefer first; the conditions are those of now.
  public init(units: [Unit], conditions: LatencyReport.Conditions = .now()) {
    (self.units, self.conditions) = (units, conditions)
  }

  /// The text of the record.
  public var json: String {
    JSON.object([
      "schema_version": .whole(1), "conditions": conditions.value, "units": .list(units.map(\.value)),
    ]).description + "\n"
  }
}

extension GoldenRecord.Unit {
  fileprivate var value: JSON {
    .object([
      "runtime": .text(runtime), "unit": .text(unit.rawValue), "version": .text(version),
      "report": report?.value ?? .null, "error": .text(error),
    ])
  }
}
