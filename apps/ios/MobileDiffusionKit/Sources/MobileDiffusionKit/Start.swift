/// A picture to start from.
public struct Start: Equatable, Sendable {
  /// As large as the model's pictures.
  public var picture: Picture
  /// Share of the steps that are made, above 0 to 1.
  public var strength: Double
  /// A byte for each place of the latents, rows from the top: 1 where it is drawn anew, 0 where it is kept; or nil.
  public var mask: [UInt8]?

  public init(picture: Picture, strength: Double = 0.8, mask: [UInt8]? = nil) {
    self.picture = picture
    self.strength = strength
    self.mask = mask
  }
}

/// What a drawing that starts from a picture needs of it: pure functions, on latents (1, C, h, w).
struct StartInputs: Sendable {
  private let schedule: Schedule
  private let start: Start
  /// The steps that are skipped.
  let skipped: Int

  /// Throws one line when the bundle cannot start from this picture.
  init(_ start: Start, manifest: Manifest, settings: DrawSettings) throws {
    (self.start, schedule) = (start, settings.schedule)
    guard let shape = manifest.spec(of: .encodeImage)?.inputs.first(where: { $0.name == "image" })?.shape else {
      throw DiffusionError(
        "picture: expected a bundle that was exported with --image-to-image, got one that was not; export it again")
    }
    let (width, height) = (start.picture.width, start.picture.height)
    try require(
      shape == [1, 3, height, width],
      "picture: expected \(shape[3]) x \(shape[2]) pixels, got \(width) x \(height); resize it")
    let places = settings.latents.shape[2] * settings.latents.shape[3]
    let count = start.mask?.count ?? places
    try require(count == places, "mask: expected \(places) values, got \(count)")
    skipped = try Self.skipped(settings.schedule, strength: start.strength)
  }

  /// Whether the drawing starts from noise alone, and the picture is what the mask keeps: as diffusers' inpainting.
  var isFromNoise: Bool { start.mask != nil && skipped == 0 }

  /// Whether a part of the picture is kept.
  var keeps: Bool { start.mask != nil }

  /// Inputs of `encode_image`.
  var image: [String: TensorValue] { ["image": start.picture.image] }

  /// Clean latents at the noise level before a row of the table; after the last, at nil, they stay clean.
  func noised(_ clean: [Float], _ noise: [Float], row: Int?) -> [Float] {
    guard let row else { return clean }
    let (alpha, sigma) = (Float(schedule.alphas[row]), Float(schedule.sigmas[row]))
    return zip(clean, noise).map { alpha * $0 + sigma * $1 }
  }

  /// Latents with the picture put back where the mask keeps it.
  func kept(_ latents: [Float], picture: [Float]) -> [Float] {
    guard let mask = start.mask else { return latents }
    return latents.indices.map { place in
      let anew = Float(mask[place % mask.count])
      return anew * latents[place] + (1 - anew) * picture[place]
    }
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
