import CoreGraphics
import MobileDiffusionKit
import PhotosUI
import SampleCore
import SwiftUI
import UIKit

extension Picture {
  /// What was picked, in the model's size; throws one line when it cannot be read.
  init(_ item: PhotosPickerItem, size: PixelSize) async throws {
    guard let data = try await item.loadTransferable(type: Data.self), let picture = Picture(photo: data, size: size)
    else { throw DiffusionError("expected a picture that can be read, got another; choose it again") }
    self = picture
  }

  /// The middle of a photo, upright and over white, in the model's size; nil when the bytes are no picture.
  init?(photo: Data, size: PixelSize) {
    guard let image = UIImage(data: photo), let space = CGColorSpace(name: CGColorSpace.sRGB),
      let context = CGContext(
        data: nil, width: size.width, height: size.height, bitsPerComponent: 8, bytesPerRow: 4 * size.width,
        space: space, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
    else { return nil }
    let cover = Cover(width: Double(image.size.width), height: Double(image.size.height), of: size)
    context.setFillColor(gray: 1, alpha: 1)
    context.fill(CGRect(x: 0, y: 0, width: size.width, height: size.height))
    // UIKit's rows begin at the top.
    context.translateBy(x: 0, y: CGFloat(size.height))
    context.scaleBy(x: 1, y: -1)
    UIGraphicsPushContext(context)
    image.draw(in: CGRect(x: cover.left, y: cover.top, width: cover.width, height: cover.height))
    UIGraphicsPopContext()
    guard let data = context.data else { return nil }
    let bytes = data.assumingMemoryBound(to: UInt8.self)
    let rgb = (0..<3 * size.width * size.height).map { bytes[4 * ($0 / 3) + $0 % 3] }
    self.init(width: size.width, height: size.height, rgb: rgb)
  }
}
