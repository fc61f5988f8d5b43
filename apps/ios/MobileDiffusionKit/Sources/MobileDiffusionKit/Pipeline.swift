/// Draws pictures with a bundle: one at a time, in the order in which they were asked for.
public actor Pipeline {
  /// The bundle that it draws with.
  public nonisolated let bundle: ModelBundle
  /// The bundle's tokenizer.
  public nonisolated let tokenizer: any Tokenizer
  let runner: any ModelRunner
  let settings: DrawSettings
  private let memory: MemoryPolicy
  private let preview: Preview?
  private var loaded: [Stage] = []
  private var turns = Turns()
  private var isMemoryWanted = false
  private var isClosed = false

  /// Reads the bundle's tokenizer; no stage is loaded yet. Throws one line when the bundle cannot be drawn with.
  public init(bundle: ModelBundle, runner: any ModelRunner, memory: MemoryPolicy = .keep) throws {
    (self.bundle, self.runner, self.memory) = (bundle, runner, memory)
    settings = try DrawSettings(bundle.manifest)
    tokenizer = try bundle.tokenizer()
    preview = try bundle.preview()
  }

  /// Draws so many pictures while the stream is read, with the request's seed and those after it; text, picture and hints
  /// are encoded once. The stream ends with the last `finished`, or throws one line.
  ///
  /// Cancelling the task that reads it, or leaving its loop, cancels the drawing: it stops before or after the call of
  /// a stage that is under way, and with `MemoryPolicy.sequential` gives its memory back.
  public nonisolated func draw(_ request: DrawRequest, pictures: Int = 1) -> AsyncThrowingStream<DrawEvent, any Error> {
    AsyncThrowingStream { continuation in
      let task = Task {
        do {
          try await inTurn { pipeline in
            try await pipeline.perform(try request.series(pictures)) { continuation.yield($0) }
          }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  /// Frees the memory of all stages: at once, or while something is drawn as soon as the call of a stage that is under
  /// way has ended. What is drawn loads again what it needs.
  public func unload() async {
    guard turns.take() else {
      isMemoryWanted = true
      return
    }
    await unloadAll()
    turns.give()
  }

  /// Frees the memory of all stages for good, after the current drawing: whoever still draws gets one line.
  ///
  /// So a model that was given up cannot come back beside the one that took its place.
  public func close() async {
    await takeTurn()
    isClosed = true
    await unloadAll()
    turns.give()
  }

  /// Does something alone; with `MemoryPolicy.sequential` nothing stays loaded after it.
  func inTurn<Value: Sendable>(
    _ work: @Sendable (isolated Pipeline) async throws -> Value
  ) async throws -> Value {
    await takeTurn()
    defer { turns.give() }
    do {
      let value = try await work(self)
      if memory == .sequential || isMemoryWanted { await unloadAll() }
      return value
    } catch {
      if memory == .sequential || isMemoryWanted { await unloadAll() }
      throw error
    }
  }

  private func takeTurn() async {
    guard !turns.take() else { return }
    await withCheckedContinuation { turns.wait($0) }
  }

  private func unloadAll() async {
    isMemoryWanted = false
    for stage in loaded { await runner.unload(stage) }
    loaded = []
  }

  /// Loads a stage if need be and runs it: the outputs that the manifest names. Cancellation is noticed before and after
  /// both.
  func run(
    _ stage: Stage, _ inputs: [String: TensorValue], tell: (DrawEvent) -> Void = { _ in }
  ) async throws -> [String: TensorValue] {
    try Task.checkCancellation()
    guard !isClosed else {
      throw DiffusionError("\(stage.rawValue): expected an open model, got one that was closed; draw again")
    }
    if isMemoryWanted { await unloadAll() }
    guard let spec = bundle.manifest.spec(of: stage) else {
      throw DiffusionError("manifest.json: expected the stage \(stage.rawValue), got none; export the bundle again")
    }
    try spec.check(inputs: inputs)
    if !loaded.contains(stage) {
      if memory == .sequential { await unloadAll() }
      tell(.loading(stage))
      try await runner.load(stage)
      loaded.append(stage)
      try Task.checkCancellation()
    }
    let outputs = try await runner.run(stage, inputs)
    try Task.checkCancellation()
    try spec.check(outputs: outputs)
    return outputs.filter { output in spec.outputs.contains { $0.name == output.key } }
  }

  /// The inputs of `denoise` that stay the same at every step; throws for a prompt or scale that cannot be used, before
  /// anything is loaded.
  func conditions(
    _ request: DrawRequest, _ start: StartInputs, tell: (DrawEvent) -> Void = { _ in }
  ) async throws -> [String: TensorValue] {
    let hints = try HintInputs(request.hints, settings: settings)
    var texts = try await textConditions(request, tell: tell)
    if let images = hints.images {
      texts.merge(hints.inputs(try await run(.encodeHint, images, tell: tell))) { $1 }
    }
    guard let picture = start.read else { return texts }
    let latents = try await latents(of: picture, tell: tell)
    let read = TensorValue.floats(latents, shape: settings.latents.shape)
    return texts.merging(start.inputs(read, guidance: try settings.guidance(of: request))) { $1 }
  }

  private func latents(of picture: [String: TensorValue], tell: (DrawEvent) -> Void) async throws -> [Float] {
    try await run(.encodeImage, picture, tell: tell).floats("latents", of: .encodeImage)
  }

  func reading(_ prompt: String, _ syntax: PromptSyntax) throws -> Reading {
    try Reading(prompt, syntax, windows: settings.windows, by: tokenizer)
  }

  /// The outputs of `encode_text` for a reading: the empty prompt first if it is needed, then every window.
  private func encode(_ reading: Reading, tell: (DrawEvent) -> Void) async throws -> [String: TensorValue] {
    var empty: [String: TensorValue]?
    if let tokens = reading.empty { empty = try await run(.encodeText, settings.textInputs(tokens), tell: tell) }
    var encoded: [[[String: TensorValue]]] = []
    for version in reading.versions {
      var found: [[String: TensorValue]] = []
      for window in version.windows {
        found.append(try await run(.encodeText, settings.textInputs(window.tokens), tell: tell))
      }
      encoded.append(found)
    }
    return try Weighing(widths: settings.textWidths).outputs(reading, encoded, empty: empty)
  }

  private func textConditions(
    _ request: DrawRequest, tell: (DrawEvent) -> Void
  ) async throws -> [String: TensorValue] {
    let guidance = try settings.guidance(of: request)
    let prompt = try reading(request.prompt, request.syntax)
    let negative = settings.encodesNull(of: request) ? try reading(request.negative, request.syntax) : nil
    let encoded = try await encode(prompt, tell: tell)
    guard settings.schedule.guidanceKind == .cfg else { return encoded }
    var conditions = encoded
    let null =
      if let negative { try await encode(negative, tell: tell) } else {
        encoded.mapValues { TensorValue.floats([Float](repeating: 0, count: $0.count), shape: $0.shape) }
      }
    for (name, value) in null { conditions[DrawSettings.null + name] = value }
    conditions["guidance"] = .floats([Float(guidance)], shape: [1])
    return conditions
  }

  private func perform(_ series: [DrawRequest], tell: (DrawEvent) -> Void) async throws {
    var begun = ContinuousClock.now
    let start = try StartInputs(series[0].start, manifest: bundle.manifest, settings: settings)
    let conditions = try await conditions(series[0], start, tell: tell)
    var clean: [Float]?
    if let picture = start.clean { clean = try await latents(of: picture, tell: tell) }
    for request in series {
      let latents = try await latents(request, start, clean, conditions, tell: tell)
      let last = TensorValue.floats(latents, shape: settings.latents.shape)
      let image = try await run(.decodeImage, ["latents": last], tell: tell).floats("image", of: .decodeImage)
      let picture = try Picture(image: image, shape: settings.image.shape)
      tell(.finished(picture, milliseconds: (ContinuousClock.now - begun).milliseconds))
      begun = .now
    }
  }

  /// The latents (1, C, h, w) after the last step.
  private func latents(
    _ request: DrawRequest, _ start: StartInputs, _ clean: [Float]?, _ conditions: [String: TensorValue],
    tell: (DrawEvent) -> Void
  ) async throws -> [Float] {
    let rows = settings.schedule.rows(skipped: start.skipped)
    var state = settings.firstState(seed: request.seed)
    let noise = state.latents
    if let clean, !start.isFromNoise { state.latents = start.noised(clean, noise, row: rows.first) }
    let steps = settings.schedule.steps
    for (made, row) in rows.enumerated() {
      state = try await step(request, conditions, state, row: row, tell: tell)
      if let clean, start.keeps {
        let following = made + 1 < rows.count ? rows[made + 1] : nil
        state.latents = start.kept(state.latents, picture: start.noised(clean, noise, row: following))
      }
      try checkFinite("latents", state.latents)
      let preview = try preview?.picture(of: state.latents, shape: settings.latents.shape)
      tell(.step(steps - rows.count + made + 1, steps: steps, preview: preview))
    }
    return state.latents
  }

  /// The state after a step, which takes two calls where its guidance is a choice of its own.
  func step(
    _ request: DrawRequest, _ conditions: [String: TensorValue], _ state: LatentState, row: Int,
    tell: (DrawEvent) -> Void = { _ in }
  ) async throws -> LatentState {
    var inputs = settings.stepInputs(conditions, state, step: row, seed: request.seed)
    let scale = try settings.ownScale(conditions, step: row)
    if scale > 1 {
      let unguided = inputs.merging(DrawSettings.withoutNull(conditions)) { $1 }
      let outputs = try await run(.denoise, unguided, tell: tell)
      inputs.merge(settings.guided(by: try outputs.floats("output", of: .denoise), scale: scale)) { $1 }
    }
    let outputs = try await run(.denoise, inputs, tell: tell)
    var next = state
    next.latents = try outputs.floats("latents", of: .denoise)
    if settings.schedule.memory > 0 { next.memory = try outputs.floats("memory", of: .denoise) }
    return next
  }
}

/// Whose turn it is: first come, first served.
private struct Turns {
  private var isTaken = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  /// Takes the turn if nobody has it.
  mutating func take() -> Bool {
    if isTaken { return false }
    isTaken = true
    return true
  }

  mutating func wait(_ continuation: CheckedContinuation<Void, Never>) {
    waiting.append(continuation)
  }

  /// Hands the turn on.
  mutating func give() {
    if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
  }
}

extension Duration {
  /// The duration in milliseconds.
  var milliseconds: Double {
    Double(components.seconds) * 1e3 + Double(components.attoseconds) * 1e-15
  }
}
