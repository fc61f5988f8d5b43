/// Every comparison of a bundle's golden vectors on one runtime: the form that the C++ runner's `--golden` prints.
public struct GoldenReport: Equatable, Sendable {
  /// One comparison with what PyTorch computed.
  public struct Check: Equatable, Sendable {
    /// The check of a whole drawing's picture.
    public static let picture = "picture"
    /// "tokens", the name of a stage, "free_running" or "picture", as in parity.json.
    public let check: String
    /// From 0; nil for a check without steps.
    public let step: Int?
    /// Signal-to-noise ratio in dB, for "picture" the PSNR; nil for tokens; NaN never passes.
    public let db: Double?
    /// Largest absolute difference; nil for tokens.
    public let maxAbs: Double?
    /// The least ratio that passes; nil where the manifest states none.
    public let limit: Double?
    public let isPassed: Bool

    public init(
      check: String, step: Int?, db: Double?, maxAbs: Double?, limit: Double?, isPassed: Bool
    ) {
      (self.check, self.step, self.db) = (check, step, db)
      (self.maxAbs, self.limit, self.isPassed) = (maxAbs, limit, isPassed)
    }
  }

  /// The comparisons of one prompt.
  public struct Case: Equatable, Sendable {
    public let prompt: String
    public let seed: UInt64
    public let checks: [Check]

    public init(prompt: String, seed: UInt64, checks: [Check]) {
      (self.prompt, self.seed, self.checks) = (prompt, seed, checks)
    }

    public var isPassed: Bool { checks.allSatisfy(\.isPassed) }
  }

  public let model: String
  public let precision: String
  public let cases: [Case]

  public init(model: String, precision: String, cases: [Case]) {
    (self.model, self.precision, self.cases) = (model, precision, cases)
  }

  public var isPassed: Bool { cases.allSatisfy(\.isPassed) }

  /// The smallest ratio of the stages and steps, such as "81.2 dB"; "NaN" if one is.
  public var worstText: String {
    let ratios = cases.flatMap(\.checks).filter { $0.check != Check.picture }.compactMap(\.db)
    let worst = ratios.reduce(Double.infinity) { $1.isNaN || $1 < $0 ? $1 : $0 }
    return worst.isFinite ? "\((worst * 10).rounded() / 10) dB" : worst.isNaN ? "NaN" : "∞ dB"
  }

  /// The text of the report.
  public var json: String { value.description + "\n" }

  var value: JSON {
    .object([
      "model": .text(model), "precision": .text(precision), "depth": .text("trajectory"),
      "cases": .list(cases.map(\.value)), "passed": .bool(isPassed),
    ])
  }
}

extension GoldenReport.Case {
  fileprivate var value: JSON {
    .object([
      "prompt": .text(prompt), "seed": .text(String(seed)), "checks": .list(checks.map(\.value)),
      "passed": .bool(isPassed),
    ])
  }
}

extension GoldenReport.Check {
  /// Stands for infinity in JSON: the values are equal.
  private static let mostDb = 300.0

  fileprivate var value: JSON {
    var members = [
      JSON.Member(name: "check", value: .text(check)), JSON.Member(name: "passed", value: .bool(isPassed)),
    ]
    if let step { members.append(JSON.Member(name: "step", value: .whole(Int64(step)))) }
    let metric = check == Self.picture ? "psnr_db" : "snr_db"
    for (name, number) in [(metric, db), ("max_abs", maxAbs), ("limit", limit)] {
      guard let number else { continue }
      members.append(JSON.Member(name: name, value: number.isNaN ? .null : .number(min(number, Self.mostDb))))
    }
    return .object(members)
  }
}
