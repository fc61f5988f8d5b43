import CoreGraphics
import MobileDiffusionKit
import SwiftUI
import UIKit

extension Picture {
  /// The pixels as the system draws them; nil when memory is short.
  var cgImage: CGImage? {
    guard let provider = CGDataProvider(data: NSData(data: Data(rgb)) as CFData),
      let space = CGColorSpace(name: CGColorSpace.sRGB)
    else { return nil }
    return CGImage(
      width: width, height: height, bitsPerComponent: 8, bitsPerPixel: 24, bytesPerRow: 3 * width, space: space,
      bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.none.rawValue), provider: provider, decode: nil,
      shouldInterpolate: true, intent: .defaultIntent)
  }

  /// The bytes of a PNG file.
  var png: Data? {
    cgImage.flatMap { UIImage(cgImage: $0).pngData() }
  }
}

/// A picture as large as its place.
struct PictureImage: View {
  let picture: Picture

  var body: some View {
    if let image = picture.cgImage {
      Image(decorative: image, scale: 1)
        .resizable()
        .interpolation(.high)
        .scaledToFit()
    }
  }
}
