/// A picture to start from.
public struct Start: Equatable, Sendable {
  /// Guidance towards the picture when none is asked for.
  public static let defaultImageGuidance = 1.5
  /// As large as the model's pictures.
  public var picture: Picture
  /// Share of the steps that are made, above 0 to 1; nil for 0.8, or for 1 with a model that reads the picture.
  public var strength: Double?
  /// A byte for each pixel, rows from the top: 1 where it is drawn anew, 0 where it is kept; or nil.
  public var mask: [UInt8]?
  /// Guidance towards the picture by a model that edits pictures, 1 to 30; nil for `defaultImageGuidance`.
  public var imageGuidance: Double?

  public init(picture: Picture, strength: Double? = nil, mask: [UInt8]? = nil, imageGuidance: Double? = nil) {
    self.picture = picture
    self.strength = strength
    self.mask = mask
    self.imageGuidance = imageGuidance
  }
}

extension Manifest {
  /// Whether the model edits a picture by an instruction, all of it and in every step.
  public var editsPictures: Bool {
    spec(of: .denoise)?.inputs.contains { $0.name == "image_latents" } == true
  }
}

/// What a drawing needs of the picture that it starts from, if any: pure functions, on latents (1, C, h, w).
struct StartInputs: Sendable {
  private static let grey: Float = 0.5
  private let settings: DrawSettings
  private let start: Start?
  /// The steps that are skipped.
  let skipped: Int
  /// A byte for each place of the latents.
  private let mask: [UInt8]?

  /// Throws one line when the bundle cannot start from this picture, or not without one.
  init(_ start: Start?, manifest: Manifest, settings: DrawSettings) throws {
    (self.start, self.settings) = (start, settings)
    if let start { try Self.check(start, manifest, settings) }
    try Self.check(start, task: settings.task)
    mask = start?.mask.map { Self.ofLatents($0, settings) }
    let own = settings.task == .draw ? 0.8 : 1
    skipped = try start.map { try Self.skipped(settings.schedule, strength: $0.strength ?? own) } ?? 0
  }

  /// Whether the drawing starts from noise alone, and the picture is what the mask keeps: as diffusers' inpainting.
  var isFromNoise: Bool { mask != nil && skipped == 0 }

  /// Whether a part of the picture is put back after each step.
  var keeps: Bool { settings.task == .draw && mask != nil }

  /// Inputs of `encode_image` for the latents that the drawing starts from, or keeps; nil without.
  var clean: [String: TensorValue]? {
    let reads = settings.task == .edit || (settings.task == .inpaint && skipped == 0)
    guard let start, !reads else { return nil }
    return ["image": start.picture.image]
  }

  /// Inputs of `encode_image` for the latents that `denoise` reads at every step; nil when it reads none.
  var read: [String: TensorValue]? {
    switch settings.task {
    case .draw: nil
    case .edit: start.map { ["image": $0.picture.image] }
    case .inpaint: ["image": painted]
    }
  }

  /// What `denoise` takes of those latents at every step; `guidance` is the scale towards the prompt.
  func inputs(_ latents: TensorValue, guidance: Double) -> [String: TensorValue] {
    if settings.task == .inpaint { return ["mask": floatMask, "masked_latents": latents] }
    guard settings.schedule.guidanceKind == .cfg else { return ["image_latents": latents] }
    let scale = Float(guidance) > 1 ? start?.imageGuidance ?? Start.defaultImageGuidance : 1
    return ["image_latents": latents, "image_guidance": .floats([Float(scale)], shape: [1])]
  }

  /// Clean latents at the noise level before a row of the table; after the last, at nil, they stay clean.
  func noised(_ clean: [Float], _ noise: [Float], row: Int?) -> [Float] {
    guard let row else { return clean }
    let (alpha, sigma) = (Float(settings.schedule.alphas[row]), Float(settings.schedule.sigmas[row]))
    return zip(clean, noise).map { alpha * $0 + sigma * $1 }
  }

  /// Latents with the picture put back where the mask keeps it.
  func kept(_ latents: [Float], picture: [Float]) -> [Float] {
    guard let mask else { return latents }
    return latents.indices.map { place in
      let anew = Float(mask[place % mask.count])
      return anew * latents[place] + (1 - anew) * picture[place]
    }
  }

  /// The picture, grey where it is drawn anew: all of it without a picture.
  private var painted: TensorValue {
    guard let start, let pixels = start.mask, case .floats(let values, let shape) = start.picture.image else {
      return .floats([Float](repeating: Self.grey, count: settings.image.count), shape: settings.image.shape)
    }
    return .floats(
      values.indices.map { pixels[$0 % pixels.count] == 0 ? values[$0] : Self.grey }, shape: shape)
  }

  /// The mask (1, 1, h, w); all ones without one.
  private var floatMask: TensorValue {
    let sides = settings.latents.shape[2...]
    let values = mask.map { $0.map(Float.init) } ?? [Float](repeating: 1, count: sides.reduce(1, *))
    return .floats(values, shape: [1, 1] + sides)
  }

  /// A mask of pixels for each place of the latents: the upper left pixel of its block decides.
  private static func ofLatents(_ pixels: [UInt8], _ settings: DrawSettings) -> [UInt8] {
    let (rows, columns) = (settings.latents.shape[2], settings.latents.shape[3])
    let (height, width) = (settings.image.shape[2], settings.image.shape[3])
    return (0..<rows * columns).map { place in
      pixels[place / columns * (height / rows) * width + place % columns * (width / columns)]
    }
  }

  private static func check(_ start: Start, _ manifest: Manifest, _ settings: DrawSettings) throws {
    guard manifest.spec(of: .encodeImage) != nil else {
      throw DiffusionError(
        "picture: expected a bundle that was exported with --image-to-image, got one that was not; export it again")
    }
    let (width, height, shape) = (start.picture.width, start.picture.height, settings.image.shape)
    try require(
      shape == [1, 3, height, width],
      "picture: expected \(shape[3]) x \(shape[2]) pixels, got \(width) x \(height); resize it")
    let count = start.mask?.count ?? width * height
    try require(count == width * height, "mask: expected \(width * height) values, got \(count)")
  }

  /// Refuses what a task lacks, and what has no meaning for it.
  private static func check(_ start: Start?, task: DrawSettings.Task) throws {
    guard task == .edit else {
      let lacking = task == .inpaint && start != nil && start?.mask == nil
      try require(!lacking, "mask: expected one with the picture, as this model inpaints, got none; give it one")
      let scale = start?.imageGuidance
      try require(
        scale == nil, "image guidance: expected none, as this model edits no pictures, got \(scale?.short ?? "none")")
      return
    }
    guard let start else {
      throw DiffusionError("picture: expected one, as this model edits a picture, got none; give it one")
    }
    try require(
      start.mask == nil, "mask: expected none, as this model edits the whole picture, got one; leave it out")
    let strength = start.strength ?? 1
    try require(
      strength == 1, "strength: expected 1, as this model makes every step, got \(strength.short); leave it out")
    let scale = start.imageGuidance ?? 1
    try require(
      scale >= 1 && scale <= 30, "image guidance: expected a number from 1 to 30, got \(scale.short)")
  }

  private static func skipped(_ schedule: Schedule, strength: Double) throws -> Int {
    try require(
      strength > 0 && strength <= 1, "strength: expected a number above 0 and up to 1, got \(strength.short)")
    let steps = schedule.starts.isEmpty ? schedule.alphas.count : schedule.starts.count
    let made = min(Int(Double(steps) * strength), steps)
    try require(
      made > 0, "strength: expected 1/\(steps) or more for \(steps) steps, got \(strength.short)")
    return steps - made
  }
}
