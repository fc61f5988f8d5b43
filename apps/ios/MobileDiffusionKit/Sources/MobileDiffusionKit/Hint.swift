/// What one ControlNet reads.
public struct Hint: Equatable, Sendable {
  /// The largest strength.
  public static let maxScale = 2.0
  /// As large as the model's pictures.
  public var picture: Picture
  /// Strength of its effect, 0 to 2.
  public var scale: Double

  public init(picture: Picture, scale: Double = 1) {
    (self.picture, self.scale) = (picture, scale)
  }
}

extension Manifest {
  /// ControlNets, each of which reads a hint.
  public var controls: Int {
    spec(of: .denoise)?.inputs.first { $0.name == "hint_scales" }?.shape.first ?? 0
  }
}

/// What a drawing needs of its hints, one per ControlNet: pure functions.
struct HintInputs: Sendable {
  private let hints: [Hint]
  private let settings: DrawSettings

  /// Throws one line unless there is one hint per ControlNet, of the pictures' size, with a scale from 0 to 2.
  init(_ hints: [Hint], settings: DrawSettings) throws {
    (self.hints, self.settings) = (hints, settings)
    let wanted = settings.controls
    let nets = "\(wanted > 0 ? "\(wanted)" : "no") ControlNet\(wanted == 1 ? "" : "s")"
    let fix = wanted > 0 ? "give one per ControlNet, in their order" : "leave it out"
    try require(
      hints.count == wanted,
      "hint: expected \(wanted > 0 ? "\(wanted)" : "none"), as this model has \(nets), "
        + "got \(hints.isEmpty ? "none" : "\(hints.count)"); \(fix)")
    for hint in hints { try Self.check(hint, settings) }
  }

  private static func check(_ hint: Hint, _ settings: DrawSettings) throws {
    let (height, width) = (settings.image.shape[2], settings.image.shape[3])
    try require(
      hint.picture.width == width && hint.picture.height == height,
      "hint: expected \(width) x \(height) pixels, got \(hint.picture.width) x \(hint.picture.height); resize it")
    try require(
      hint.scale >= 0 && hint.scale <= Hint.maxScale,
      "hint scale: expected a number from 0 to \(Hint.maxScale.short), got \(hint.scale.short)")
  }

  /// Inputs of `encode_hint`, (n, 3, H, W); nil without ControlNets.
  var images: [String: TensorValue]? {
    guard !hints.isEmpty else { return nil }
    var values: [Float] = []
    for hint in hints {
      if case .floats(let image, _) = hint.picture.image { values += image }
    }
    return ["hints": .floats(values, shape: [hints.count] + settings.image.shape[1...])]
  }

  /// What `denoise` takes of the outputs of `encode_hint` at every step.
  func inputs(_ encoded: [String: TensorValue]) -> [String: TensorValue] {
    encoded.merging(["hint_scales": .floats(hints.map { Float($0.scale) }, shape: [hints.count])]) { $1 }
  }
}
