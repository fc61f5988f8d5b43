/// What has to be known of a bundle to draw with it, and what goes into its stages.
struct DrawSettings: Equatable, Sendable {
  /// What a model does: `inpaint` also reads a mask and the rest of a picture, `edit` changes a picture.
  enum Task {
    case draw, inpaint, edit
  }

  /// Shape (1, C, h, w).
  let latents: TensorSpec
  /// Shape (1, 3, H, W).
  let image: TensorSpec
  /// Shape (1, L), or (1, 2, L) where two tokenizers read the prompt.
  let tokens: [Int]
  /// Whether the text encoder takes a mask.
  let usesMask: Bool
  let task: Task
  /// ControlNets, each of which reads a hint.
  let controls: Int
  let schedule: Schedule
  /// Windows of a prompt, each encoded by itself.
  let windows: Int
  /// Width of the context per text encoder.
  let textWidths: [Int]

  /// Throws when the stages of a manifest do not take latents and give an image.
  init(_ manifest: Manifest) throws {
    let latents = manifest.spec(of: .denoise)?.inputs.first { $0.name == "latents" }
    let image = manifest.spec(of: .decodeImage)?.outputs.first { $0.name == "image" }
    let decoded = manifest.spec(of: .decodeImage)?.inputs.first { $0.name == "latents" }
    try require(
      latents == nil || decoded == nil || latents?.shape == decoded?.shape,
      "manifest.json: expected pictures that are decoded whole, as this app joins no tiles; export it without --tile")
    let text = manifest.spec(of: .encodeText)
    let tokens = text?.inputs.first { $0.name == "tokens" }
    guard let latents, let image, let text, let tokens, text.outputs.contains(where: { $0.name == "context" }),
      latents.shape.count == 4, image.shape.count == 4, image.shape[1] == 3
    else {
      throw DiffusionError(
        "manifest.json: expected stages that take latents and give an image; export the bundle again")
    }
    try require(
      manifest.spec(of: .denoise)?.inputs.contains { $0.name == "adapters" } == false,
      "manifest.json: expected a model without adapters, which this app cannot turn on; export it without --adapter, "
        + "or merge them with --lora")
    (self.latents, self.image) = (latents, image)
    self.tokens = tokens.shape
    usesMask = text.inputs.contains { $0.name == "mask" }
    schedule = manifest.schedule
    textWidths = manifest.textWidths
    windows = try Self.windows(of: manifest)
    task = try Self.task(of: manifest)
    controls = manifest.controls
    try require(
      (controls > 0) == (manifest.spec(of: .encodeHint) != nil),
      "manifest.json: expected the stage encode_hint exactly for a model with ControlNets; export the bundle again")
  }

  /// The windows that the context of `denoise` has; throws unless they fill it.
  private static func windows(of manifest: Manifest) throws -> Int {
    let one = manifest.spec(of: .encodeText)?.outputs.first { $0.name == "context" }?.shape
    let all = manifest.spec(of: .denoise)?.inputs.first { $0.name == "context" }?.shape
    let (length, width) = (Int(manifest.tokenizer.maxTokens), manifest.textWidths.reduce(0, +))
    guard length > 0, one == [1, length, width], let all, all.count == 3, all[2] == width, all[1] % length == 0 else {
      throw DiffusionError(
        "manifest.json: expected a context of whole windows of the tokenizer's length; export the bundle again")
    }
    return all[1] / length
  }

  /// Told by the inputs of `denoise`.
  private static func task(of manifest: Manifest) throws -> Task {
    let paints = manifest.spec(of: .denoise)?.inputs.contains { $0.name == "masked_latents" } == true
    let task: Task = paints ? .inpaint : manifest.editsPictures ? .edit : .draw
    try require(
      task == .draw || manifest.spec(of: .encodeImage) != nil,
      "manifest.json: expected the stage encode_image for a model that reads a picture, got none; "
        + "export the bundle again")
    return task
  }

  /// The scale of guidance of a request; throws for a scale or a negative prompt that cannot be used.
  func guidance(of request: DrawRequest) throws -> Double {
    let scale = request.guidance ?? schedule.guidance
    let greatest = 30.0
    try require(
      scale.isFinite && scale <= greatest, "guidance: expected a number up to \(greatest.short), got \(scale.short)")
    switch schedule.guidanceKind {
    case .cfg: break
    case .distilled: try checkDistilled(request, scale)
    case .unguided:
      try require(
        scale <= 1,
        "guidance: expected 1 or less, as this model was exported without guidance, got \(scale.short); "
          + "export it with --guidance \(scale.short)")
    }
    return scale
  }

  private func checkDistilled(_ request: DrawRequest, _ scale: Double) throws {
    try require(
      request.negative.isEmpty, "negative prompt: expected none, as guidance is in this model's weights")
    try require(
      scale == schedule.guidance,
      "guidance: expected \(schedule.guidance.short), which it was distilled with, got \(scale.short)")
  }

  /// What a stage gets that needs a picture, where there is none.
  var blackPicture: Picture {
    let (height, width) = (image.shape[2], image.shape[3])
    return Picture(width: width, height: height, rgb: [UInt8](repeating: 0, count: 3 * width * height))
  }

  /// The inputs of `encode_text`.
  func textInputs(_ tokens: Tokens) -> [String: TensorValue] {
    let inputs = ["tokens": TensorValue.integers(tokens.ids, shape: self.tokens)]
    return usesMask ? inputs.merging(["mask": .integers(tokens.mask, shape: self.tokens)]) { $1 } : inputs
  }

  /// The noise of a seed, and an empty memory.
  func firstState(seed: UInt64) -> LatentState {
    let noise = Noise.gaussian(seed: seed, count: latents.count)
    return LatentState(latents: noise, memory: [Float](repeating: 0, count: schedule.memory * latents.count))
  }

  /// All inputs of `denoise` at a step, 0 for the first, without guidance where that is a choice of the step.
  func stepInputs(
    _ conditions: [String: TensorValue], _ state: LatentState, step: Int, seed: UInt64
  ) -> [String: TensorValue] {
    var inputs = conditions
    if !schedule.shares.isEmpty {
      for name in Self.withoutNull(conditions).keys { inputs[Self.null + name] = nil }
      inputs.merge(guided(by: [Float](repeating: 0, count: latents.count), scale: 1)) { $1 }
    }
    inputs["latents"] = .floats(state.latents, shape: latents.shape)
    inputs["step"] = .integers([Int32(step)], shape: [1])
    if schedule.memory > 0 {
      let shape = [1, schedule.memory * latents.shape[1]] + latents.shape[2...]
      inputs["memory"] = .floats(state.memory, shape: shape)
    }
    if schedule.isStochastic {
      let noise = Noise.gaussian(seed: seed, count: latents.count, tensor: UInt64(step) + 1)
      inputs["noise"] = .floats(noise, shape: latents.shape)
    }
    return inputs
  }
}

extension DrawSettings {
  /// Begins the names of the null text's tensors.
  static let null = "null_"

  /// Whether the null text of a request is encoded; where it is not, its tensors are zeros.
  func encodesNull(of request: DrawRequest) -> Bool {
    schedule.guidanceKind == .cfg && !(schedule.isNullZero && request.negative.isEmpty)
  }

  /// The tensors of the null text, by the names of those of the prompt.
  static func withoutNull(_ conditions: [String: TensorValue]) -> [String: TensorValue] {
    let own = conditions.filter { $0.key.hasPrefix(null) }
    return Dictionary(uniqueKeysWithValues: own.map { (String($0.key.dropFirst(null.count)), $0.value) })
  }

  /// Inputs of `denoise` that lead away from the network's output (1, C, h, w) for the null text.
  func guided(by nullOutput: [Float], scale: Double) -> [String: TensorValue] {
    ["null_output": .floats(nullOutput, shape: latents.shape), "guidance": .floats([Float(scale)], shape: [1])]
  }

  /// The scale of a step whose guidance is a choice of its own; else 1.
  func ownScale(_ conditions: [String: TensorValue], step: Int) throws -> Double {
    guard !schedule.shares.isEmpty else { return 1 }
    let scale = try conditions.floats("guidance", of: .denoise).first ?? 1
    return 1 + schedule.shares[step] * (Double(scale) - 1)
  }
}

/// What changes from step to step: latents (1, C, h, w), and what the solver remembers (1, M * C, h, w).
struct LatentState: Sendable {
  var latents: [Float]
  var memory: [Float]
}

extension Double {
  /// The shortest text that is read back as the same number, without ".0" after a whole one.
  var short: String {
    let text = description
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}
