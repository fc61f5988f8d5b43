/// One case on this machine: every stage given the reference's inputs, then the whole way from its own.
struct GoldenReplay {
  private typealias Tensors = [String: TensorValue]

  private let golden: GoldenCase
  private let settings: DrawSettings
  private let request: DrawRequest
  private let start: StartInputs
  private let limits: [ParityLimit]
  /// The rows of which the case holds a step: a large model's has one.
  private let rows: [Int]
  /// Steps of a drawing that begins where the case does.
  private let wholeSteps: Int
  private var found: [GoldenReport.Check] = []

  /// Throws one line unless the recorded states are those of the bundle's steps.
  init(_ golden: GoldenCase, _ pipeline: isolated Pipeline, _ limits: [ParityLimit]) throws {
    (self.golden, self.limits, settings) = (golden, limits, pipeline.settings)
    request = Self.request(of: golden, settings)
    start = try StartInputs(request.start, manifest: pipeline.bundle.manifest, settings: settings)
    let schedule = settings.schedule
    let starts = schedule.starts.isEmpty ? schedule.alphas.count : schedule.starts.count
    wholeSteps = golden.firstStep < starts ? schedule.rows(skipped: golden.firstStep).count : 0
    let states = try golden.states()
    try require(
      (2...max(2, wholeSteps + 1)).contains(states) && wholeSteps > 0
        && golden.state(0).count == settings.latents.count * (1 + schedule.memory),
      "\(pipeline.bundle.manifest.golden): expected states of \(schedule.steps) steps, got others; "
        + "export the bundle again")
    rows = Array(schedule.rows(skipped: golden.firstStep).prefix(states - 1))
  }

  /// Every comparison of the case.
  mutating func results(_ pipeline: isolated Pipeline) async throws -> [GoldenReport.Check] {
    try compareTokens(pipeline)
    let (texts, ownTexts) = try await compareTexts(pipeline)
    let picture = try await compared(pipeline, "source", as: "image", .encodeImage, "latents", with: "encoded")
    let hints = try await compared(pipeline, "hints", as: "hints", .encodeHint, "hint_features", with: "hint_features")
    let recorded = try constants(
      texts, picture: golden.has("encoded") ? golden.floats("encoded") : nil,
      hints: golden.has("hints") ? golden.floats("hint_features") : nil)
    try await compareSteps(pipeline, recorded)
    let last = try await runFreely(pipeline, try constants(ownTexts, picture: picture, hints: hints), picture)
    let image = try golden.floats("image")
    let decoded = try await decode(pipeline, try state(rows.count).latents)
    try add(Stage.decodeImage.rawValue, nil, image, decoded)
    if rows.count == wholeSteps {
      try add(GoldenReport.Check.picture, nil, image, try await decode(pipeline, last.latents))
    }
    return found
  }

  private mutating func compareTokens(_ pipeline: isolated Pipeline) throws {
    let windows = try pipeline.reading(golden.prompt, .plain).versions[0].windows
    let isSame = windows.flatMap(\.tokens.ids) == (try golden.integers("tokens"))
    found.append(
      GoldenReport.Check(check: "tokens", step: nil, db: nil, maxAbs: nil, limit: nil, isPassed: isSame))
  }

  /// What `denoise` reads of the prompts: as it was recorded, and as it is encoded here.
  private mutating func compareTexts(_ pipeline: isolated Pipeline) async throws -> (Tensors, Tensors) {
    let isGuided = settings.schedule.guidanceKind == .cfg
    let isNullEncoded = settings.encodesNull(of: request)
    var (recorded, own): (Tensors, Tensors) = ([:], [:])
    for prefix in isNullEncoded ? ["", DrawSettings.null] : [""] {
      let outputs = try await encode(pipeline, prefix)
      for (name, value) in outputs.sorted(by: { $0.key < $1.key }) {
        let expected = try golden.tensor(prefix + name)
        recorded[prefix + name] = expected
        own[prefix + name] = value
        try add(Stage.encodeText.rawValue, nil, try golden.floats(prefix + name), value.floats ?? [])
        guard isGuided, !isNullEncoded else { continue }
        let zeros = TensorValue.floats([Float](repeating: 0, count: value.count), shape: value.shape)
        recorded[DrawSettings.null + name] = zeros
        own[DrawSettings.null + name] = zeros
      }
    }
    guard isGuided else { return (recorded, own) }
    let guidance = TensorValue.floats([Float(golden.guidance)], shape: [1])
    recorded["guidance"] = guidance
    own["guidance"] = guidance
    return (recorded, own)
  }

  /// The outputs of `encode_text` for the windows of a text, their contexts joined.
  private func encode(_ pipeline: isolated Pipeline, _ prefix: String) async throws -> Tensors {
    let size = settings.tokens.reduce(1, *)
    var (outputs, context): (Tensors, [Float]) = ([:], [])
    for window in 0..<settings.windows {
      var inputs: Tensors = [:]
      for name in settings.usesMask ? ["tokens", "mask"] : ["tokens"] {
        let ids = try golden.integers(prefix + name)
        try require(
          ids.count == size * settings.windows,
          "\(pipeline.bundle.manifest.golden): \(prefix + name): expected \(size * settings.windows) values, "
            + "got \(ids.count); export the bundle again")
        inputs[name] = .integers(Array(ids[window * size..<(window + 1) * size]), shape: settings.tokens)
      }
      let encoded = try await pipeline.run(.encodeText, inputs)
      context += try encoded.floats("context", of: .encodeText)
      if outputs.isEmpty { outputs = encoded }
    }
    if var shape = outputs["context"]?.shape {
      shape[1] *= settings.windows
      outputs["context"] = .floats(context, shape: shape)
    }
    return outputs
  }

  /// What a stage returns for a tensor of the case, compared with what it returned in PyTorch; nil without one.
  private mutating func compared(
    _ pipeline: isolated Pipeline, _ given: String, as input: String, _ stage: Stage, _ output: String,
    with expected: String
  ) async throws -> [Float]? {
    guard golden.has(given) else { return nil }
    let result = try await pipeline.run(stage, [input: try golden.tensor(given)]).floats(output, of: stage)
    try add(stage.rawValue, nil, try golden.floats(expected), result)
    return result
  }

  /// What `denoise` takes at every step.
  private func constants(_ texts: Tensors, picture: [Float]?, hints: [Float]?) throws -> Tensors {
    var all = texts
    if let picture, settings.task != .draw {
      let latents = TensorValue.floats(picture, shape: settings.latents.shape)
      all.merge(start.inputs(latents, guidance: golden.guidance)) { $1 }
      if golden.has("latent_mask") { all["mask"] = try golden.tensor("latent_mask") }
    }
    if let hints {
      all["hint_features"] = .floats(hints, shape: try golden.tensor("hint_features").shape)
      all["hint_scales"] = try golden.tensor("hint_scales")
    }
    return all
  }

  /// Each step from the reference's state in front of it.
  private mutating func compareSteps(_ pipeline: isolated Pipeline, _ constants: Tensors) async throws {
    for (number, row) in rows.enumerated() {
      let after = try await pipeline.step(request, constants, try state(number), row: row)
      try add(Stage.denoise.rawValue, step(number), try golden.state(number + 1), after.latents + after.memory)
    }
  }

  /// All steps from this machine's own texts and states: errors add up as in a drawing.
  private mutating func runFreely(
    _ pipeline: isolated Pipeline, _ constants: Tensors, _ picture: [Float]?
  ) async throws -> LatentState {
    var state = settings.firstState(seed: golden.seed)
    if let picture, settings.task == .draw { state.latents = start.noised(picture, state.latents, row: rows[0]) }
    for (number, row) in rows.enumerated() {
      state = try await pipeline.step(request, constants, state, row: row)
      try add("free_running", step(number), try golden.state(number + 1), state.latents + state.memory)
    }
    return state
  }

  private func decode(_ pipeline: isolated Pipeline, _ latents: [Float]) async throws -> [Float] {
    let inputs = ["latents": TensorValue.floats(latents, shape: settings.latents.shape)]
    return try await pipeline.run(.decodeImage, inputs).floats("image", of: .decodeImage)
  }

  /// The reference's state in front of a step.
  private func state(_ number: Int) throws -> LatentState {
    let (all, count) = (try golden.state(number), settings.latents.count)
    return LatentState(latents: Array(all[..<count]), memory: Array(all[count...]))
  }

  /// The place of a recorded step in a whole drawing.
  private func step(_ number: Int) -> Int { settings.schedule.steps - wholeSteps + number }

  private mutating func add(_ check: String, _ step: Int?, _ expected: [Float], _ values: [Float]) throws {
    let distance = try Distance(expected, values)
    let db = check == GoldenReport.Check.picture ? distance.psnrDb : distance.snrDb
    let limit = limits.first { $0.check == check }?.limit
    let isPassed = limit.map { db >= $0 } ?? !db.isNaN
    found.append(
      GoldenReport.Check(
        check: check, step: step, db: db, maxAbs: distance.maxAbs, limit: limit, isPassed: isPassed))
  }

  /// A model that edits pictures, and ControlNets, get black pictures: what they read is on record.
  private static func request(of golden: GoldenCase, _ settings: DrawSettings) -> DrawRequest {
    let black = settings.blackPicture
    return DrawRequest(
      prompt: golden.prompt, seed: golden.seed, guidance: golden.guidance,
      start: settings.task == .edit ? Start(picture: black) : nil,
      hints: Array(repeating: Hint(picture: black), count: settings.controls))
  }
}
