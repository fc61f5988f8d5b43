@_exported import Foundation

public typealias CFData = NSData

public final class CGColorSpace: Sendable {
  public static let sRGB = "sRGB"
  public init?(name: String) {}
}

public struct CGBitmapInfo: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
}

public enum CGImageAlphaInfo: UInt32, Sendable {
  case none = 0
  case noneSkipLast = 5
}

public enum CGColorRenderingIntent: Sendable {
  case defaultIntent
}

public final class CGDataProvider {
  let bytes: [UInt8]
  public init?(data: CFData) { bytes = [UInt8](Data(referencing: data)) }
}

/// Pixels of three bytes.
public final class CGImage {
  public let width: Int
  public let height: Int
  /// Rows from the top.
  public let rgb: [UInt8]

  public init?(
    width: Int, height: Int, bitsPerComponent: Int, bitsPerPixel: Int, bytesPerRow: Int, space: CGColorSpace,
    bitmapInfo: CGBitmapInfo, provider: CGDataProvider, decode: UnsafePointer<CGFloat>?, shouldInterpolate: Bool,
    intent: CGColorRenderingIntent
  ) {
    let isTight = bytesPerRow == 3 * width && provider.bytes.count == 3 * width * height
    guard bitsPerComponent == 8, bitsPerPixel == 24, isTight else { return nil }
    (self.width, self.height, rgb) = (width, height, provider.bytes)
  }
}

/// Declared for the types alone: nothing is drawn into it here.
public final class CGContext {
  public var data: UnsafeMutableRawPointer? { nil }

  public init?(
    data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int,
    space: CGColorSpace, bitmapInfo: UInt32
  ) { return nil }

  public func setFillColor(gray: CGFloat, alpha: CGFloat) {}
  public func fill(_ rect: CGRect) {}
  public func translateBy(x: CGFloat, y: CGFloat) {}
  public func scaleBy(x: CGFloat, y: CGFloat) {}
}
