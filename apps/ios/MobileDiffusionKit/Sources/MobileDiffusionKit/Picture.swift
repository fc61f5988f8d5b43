/// Pixels in rows from the top, three bytes each: red, green, blue.
public struct Picture: Equatable, Sendable {
  public let width: Int
  public let height: Int
  /// `3 * width * height` bytes.
  public let rgb: [UInt8]

  /// The bytes have to be as many as the pixels need.
  public init(width: Int, height: Int, rgb: [UInt8]) {
    precondition(rgb.count == 3 * width * height, "expected three bytes for every pixel")
    self.width = width
    self.height = height
    self.rgb = rgb
  }

  /// The image (1, 3, H, W) in [0, 1] that a decoder gives, cut to that range and rounded half to even.
  ///
  /// Throws when a value is NaN or infinite, or the values are not as many as the shape says.
  init(image: [Float], shape: [Int]) throws {
    try checkFinite("image", image)
    let (height, width) = (shape[2], shape[3])
    let area = width * height
    try require(
      image.count == 3 * area, "image: expected \(3 * area) values, got \(image.count); export the bundle again")
    var rgb = [UInt8](repeating: 0, count: 3 * area)
    for channel in 0..<3 {
      for pixel in 0..<area {
        let value = min(max(image[channel * area + pixel], 0), 1) * 255
        rgb[3 * pixel + channel] = UInt8(value.rounded(.toNearestOrEven))
      }
    }
    self.init(width: width, height: height, rgb: rgb)
  }
}

extension Picture {
  /// The pixels as an image (1, 3, H, W) in [0, 1].
  var image: TensorValue {
    let area = width * height
    let values = (0..<3 * area).map { Float(Double(rgb[3 * ($0 % area) + $0 / area]) / 255) }
    return .floats(values, shape: [1, 3, height, width])
  }
}

/// Throws when values are NaN or infinite, with their number.
func checkFinite(_ name: String, _ values: [Float]) throws {
  let wrong = values.reduce(0) { $0 + ($1.isFinite ? 0 : 1) }
  try require(
    wrong == 0,
    "\(name): expected finite values, got \(wrong) NaN or infinite of \(values.count); "
      + "the weights, or the precision of the artifact, are at fault")
}
