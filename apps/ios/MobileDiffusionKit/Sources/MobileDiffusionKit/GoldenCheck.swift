/// Compares every stage, step and picture of a bundle's golden vectors with what PyTorch computed.
public struct GoldenCheck: Sendable {
  private let pipeline: Pipeline
  private let runtime: Runtime

  /// `runtime` is the one whose programs the pipeline's runner runs.
  public init(_ pipeline: Pipeline, runtime: Runtime) {
    (self.pipeline, self.runtime) = (pipeline, runtime)
  }

  /// All comparisons, one case after the other; `onCase` is told how many are done, and of how many.
  ///
  /// Throws one line for vectors that are lost, changed or of other steps, and for programs that were not compared when
  /// they were exported; else what a drawing throws.
  public func report(onCase: @escaping @Sendable (Int, Int) -> Void = { _, _ in }) async throws -> GoldenReport {
    let bundle = pipeline.bundle
    try require(
      runtime.isVerified,
      "\(bundle.folder.path): expected programs that were compared with PyTorch when they were exported, "
        + "got \(runtime.name) that were not; export them again")
    let limits = bundle.manifest.parity.filter { $0.runtime == runtime.name && $0.isDistance }
    let cases = try GoldenCase.read(bundle)
    var found: [GoldenReport.Case] = []
    for (number, golden) in cases.enumerated() {
      onCase(number, cases.count)
      let checks = try await pipeline.inTurn { pipeline in
        var replay = try GoldenReplay(golden, pipeline, limits)
        return try await replay.results(pipeline)
      }
      found.append(GoldenReport.Case(prompt: golden.prompt, seed: golden.seed, checks: checks))
    }
    return GoldenReport(model: bundle.manifest.model, precision: runtime.precision, cases: found)
  }
}

extension ParityLimit {
  fileprivate var isDistance: Bool { metric == "snr_db" || metric == "psnr_db" }
}
