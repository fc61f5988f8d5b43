import Foundation

/// What `latency.json` holds, as far as the screen shows it.
public struct BenchmarkReport: Decodable, Equatable, Sendable {
  /// The machine, at the start of the measurement.
  public struct Conditions: Decodable, Equatable, Sendable {
    public let processor: String
    public let cores: Int
    public let system: String
  }

  /// Times of one runtime.
  public struct Runner: Decodable, Equatable, Sendable {
    public let runner: String
    public let version: String
    /// nil where the runtime chooses by itself.
    public let threads: Int?
    public let stages: [Stage]
  }

  /// Times of one stage in milliseconds.
  public struct Stage: Decodable, Equatable, Sendable, Identifiable {
    public let stage: String
    public let median: Double
    public let firstQuartile: Double
    public let thirdQuartile: Double
    public let runs: Int

    public var id: String { stage }

    enum CodingKeys: String, CodingKey {
      case stage, runs
      case median = "median_ms"
      case firstQuartile = "first_quartile_ms"
      case thirdQuartile = "third_quartile_ms"
    }
  }

  public let conditions: Conditions
  public let runners: [Runner]

  /// Reads the text of `latency.json`; throws what JSONDecoder throws.
  public static func read(_ text: String) throws -> BenchmarkReport {
    try JSONDecoder().decode(BenchmarkReport.self, from: Data(text.utf8))
  }

  /// A picture of `steps` steps by the medians: the text once, the steps, the decoding; nil when a stage is missing.
  public func picture(steps: Int) -> Double? {
    let medians = Dictionary(uniqueKeysWithValues: (runners.first?.stages ?? []).map { ($0.stage, $0.median) })
    guard let text = medians["encode_text"], let step = medians["denoise"], let image = medians["decode_image"] else {
      return nil
    }
    return text + Double(steps) * step + image
  }
}
