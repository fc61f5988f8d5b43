/// A small picture of latents: each pixel is a matrix times the latents of its place, plus a colour.
///
/// It costs nothing beside a step, so an app shows it while the picture clears.
public struct Preview: Equatable, Sendable {
  /// Three rows, for red, green and blue, of a number for each channel of the latents.
  public let weights: [[Double]]
  /// Red, green, blue.
  public let bias: [Double]

  /// Reads the text of `preview.json` for latents of so many channels; throws one line when it is another.
  init(text: [UInt8], channels: Int) throws {
    let value = try JSON.parse(text, in: "preview.json")
    let fields = try Fields(value, in: "preview.json", names: ["weights", "bias"])
    bias = try fields.numbers("bias")
    let rows = try fields.list("weights").map(\.numbers)
    weights = rows.compactMap(\.self)
    let fits = bias.count == 3 && weights.count == 3 && weights.allSatisfy { $0.count == channels }
    if !fits { throw fields.refusal("weights", expected: "three rows of \(channels) numbers, and three for the bias") }
  }

  /// Latents (1, C, h, w) as pixels (h, w): in float64, the bias first and then the channels in order; cut to [0, 1],
  /// times 255, rounded half to even. Throws when a value is NaN or infinite.
  public func picture(of latents: [Float], shape: [Int]) throws -> Picture {
    try checkFinite("latents", latents)
    let area = shape[2] * shape[3]
    var rgb = [UInt8](repeating: 0, count: 3 * area)
    for color in 0..<3 {
      for pixel in 0..<area {
        var value = bias[color]
        for (channel, weight) in weights[color].enumerated() {
          value += weight * Double(latents[channel * area + pixel])
        }
        try require(
          value.isFinite, "preview.json: expected smaller numbers, got infinite colours; export the bundle again")
        rgb[3 * pixel + color] = UInt8((min(max(value, 0), 1) * 255).rounded(.toNearestOrEven))
      }
    }
    return Picture(width: shape[3], height: shape[2], rgb: rgb)
  }
}
