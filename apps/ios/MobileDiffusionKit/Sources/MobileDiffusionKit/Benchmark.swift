/// Times the stages of a bundle as `latency.json` has them.
public struct Benchmark: Sendable {
  /// Calls that are dropped: the first ones of a stage prepare what later ones find.
  public static let warmUp = 2
  /// Seconds after which a stage is not run again, warm-up and runs each.
  private static let budget = 30_000.0

  private let pipeline: Pipeline
  private let runs: Int

  /// `runs` timed calls of each stage, 1 or more.
  public init(_ pipeline: Pipeline, runs: Int = 10) {
    (self.pipeline, self.runs) = (pipeline, runs)
  }

  /// Times every stage with the inputs of a request; `onStage` is told which one is next.
  ///
  /// Throws what a drawing throws, and `CancellationError` after the current call.
  public func report(
    of request: DrawRequest, onStage: @escaping @Sendable (Stage) -> Void = { _ in }
  ) async throws -> LatencyReport {
    let conditions = LatencyReport.Conditions.now()
    let stages = try await pipeline.inTurn { pipeline in
      try await measure(request, with: pipeline, onStage: onStage)
    }
    return LatencyReport(conditions: conditions, runner: pipeline.runner.description, stages: stages)
  }

  private func measure(
    _ request: DrawRequest, with pipeline: isolated Pipeline, onStage: (Stage) -> Void
  ) async throws -> [LatencyReport.Times] {
    let settings = pipeline.settings
    let picture = Self.start(of: request, settings)
    let start = try StartInputs(picture, manifest: pipeline.bundle.manifest, settings: settings)
    var request = request
    if request.hints.isEmpty {
      request.hints = Array(repeating: Hint(picture: settings.blackPicture), count: settings.controls)
    }
    let conditions = try await pipeline.conditions(request, start)
    let text = settings.textInputs(
      try pipeline.reading(request.prompt, request.syntax).versions[0].windows[0].tokens)
    let step = settings.stepInputs(conditions, settings.firstState(seed: request.seed), step: 0, seed: request.seed)
    let latents = TensorValue.floats(
      try await pipeline.run(.denoise, step).floats("latents", of: .denoise), shape: settings.latents.shape)
    var times: [LatencyReport.Times] = []
    for (stage, inputs) in [(.encodeText, text), (.denoise, step), (.decodeImage, ["latents": latents])]
      as [(Stage, [String: TensorValue])]
    {
      onStage(stage)
      _ = try await calls(of: stage, inputs, count: Self.warmUp, with: pipeline)
      let milliseconds = try await calls(of: stage, inputs, count: runs, with: pipeline)
      times.append(LatencyReport.Times(stage: stage, milliseconds: milliseconds))
    }
    return times
  }

  /// A model that edits pictures gets a black one, where the request has none.
  private static func start(of request: DrawRequest, _ settings: DrawSettings) -> Start? {
    guard request.start == nil, settings.task == .edit else { return request.start }
    return Start(picture: settings.blackPicture)
  }

  /// The times of so many calls in milliseconds; fewer when they take too long.
  private func calls(
    of stage: Stage, _ inputs: [String: TensorValue], count: Int, with pipeline: isolated Pipeline
  ) async throws -> [Double] {
    var (times, sum) = ([Double](), 0.0)
    while times.count < count, sum < Self.budget {
      let start = ContinuousClock.now
      _ = try await pipeline.run(stage, inputs)
      times.append((ContinuousClock.now - start).milliseconds)
      sum += times[times.count - 1]
    }
    return times
  }
}
