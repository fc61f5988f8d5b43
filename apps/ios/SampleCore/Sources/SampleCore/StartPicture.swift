import MobileDiffusionKit

/// Width and height, of a picture or of latents.
public struct PixelSize: Hashable, Sendable {
  public let width: Int
  public let height: Int

  public init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }

  /// Of the last two sizes of a shape.
  init?(shape: [Int]?) {
    guard let shape, shape.count == 4 else { return nil }
    self.init(width: shape[3], height: shape[2])
  }
}

extension Picture {
  var size: PixelSize { PixelSize(width: width, height: height) }
}

/// A picture that the user chose to start from, and what of it was painted.
public struct StartPicture: Equatable, Sendable {
  public let picture: Picture
  public var mask: MaskGrid

  public init(picture: Picture, mask: MaskGrid) {
    self.picture = picture
    self.mask = mask
  }
}

extension StartPicture {
  /// The picture with a tint where it is drawn anew.
  public var shown: Picture {
    var rgb = picture.rgb
    for (pixel, anew) in (pixelMask ?? []).enumerated() where anew == 1 {
      for channel in 0..<3 {
        let place = 3 * pixel + channel
        rgb[place] = UInt8((Int(rgb[place]) + Self.tint[channel]) / 2)
      }
    }
    return Picture(width: picture.width, height: picture.height, rgb: rgb)
  }

  /// What a drawing takes: a byte for each pixel; nil when nothing is painted, and all of the picture is drawn anew.
  public var pixelMask: [UInt8]? {
    guard mask.cells.contains(1) else { return nil }
    let (width, height) = (picture.width, picture.height)
    return (0..<width * height).map { pixel in
      let column = pixel % width * mask.size.width / width
      let row = pixel / width * mask.size.height / height
      return mask.cells[row * mask.size.width + column]
    }
  }

  private static let tint = [91, 69, 214]
}

/// The part of a picture that is drawn anew: a byte for each place of the latents, painted with a finger.
public struct MaskGrid: Equatable, Sendable {
  public let size: PixelSize
  /// Rows from the top: 1 where it is drawn anew.
  public private(set) var cells: [UInt8]
  /// Half of the brush, as a share of the picture's width.
  private static let brush = 0.1

  public init(size: PixelSize) {
    self.size = size
    cells = [UInt8](repeating: 0, count: size.width * size.height)
  }

  /// Paints around a point of the picture, of which the sides are 0 to 1.
  public mutating func paint(x: Double, y: Double) {
    for place in cells.indices {
      let right = (Double(place % size.width) + 0.5) / Double(size.width) - x
      let down = (Double(place / size.width) + 0.5) / Double(size.height) - y
      let across = down * Double(size.height) / Double(size.width)
      if right * right + across * across <= Self.brush * Self.brush { cells[place] = 1 }
    }
  }

  public mutating func clear() {
    self = MaskGrid(size: size)
  }
}

/// How a picture of any size fills another: scaled to `width` x `height`, of which the middle is seen.
public struct Cover: Equatable, Sendable {
  public let width: Double
  public let height: Double
  /// Of its corner, zero or less.
  public let left: Double
  public let top: Double

  public init(width: Double, height: Double, of size: PixelSize) {
    let scale = max(Double(size.width) / width, Double(size.height) / height)
    (self.width, self.height) = (width * scale, height * scale)
    (left, top) = ((Double(size.width) - self.width) / 2, (Double(size.height) - self.height) / 2)
  }
}
