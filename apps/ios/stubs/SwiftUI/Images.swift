import CoreGraphics
import Foundation
import UIKit

public struct Image: DrawnView {
  enum Source {
    case symbol(String)
    case pixels(Data, CGSize)
    case asset(String)
  }

  public enum Interpolation: Sendable { case none, low, medium, high }
  public enum ResizingMode: Sendable { case tile, stretch }
  public enum Scale: Hashable, Sendable { case small, medium, large }

  let source: Source
  var isResizable = false
  var isPixelated = false

  public init(systemName: String) { source = .symbol(systemName) }
  public init(_ name: String, bundle: Bundle? = nil) { source = .asset(name) }
  public init(uiImage: UIImage) { source = .pixels(uiImage.pngData() ?? Data(), uiImage.size) }
  public init(decorative image: CGImage, scale: CGFloat, orientation: Orientation = .up) {
    source = .pixels(UIImage(cgImage: image).pngData() ?? Data(), CGSize(width: image.width, height: image.height))
  }

  public enum Orientation: Sendable { case up }

  public func resizable(capInsets: EdgeInsets = EdgeInsets(), resizingMode: ResizingMode = .stretch) -> Image {
    var image = self
    image.isResizable = true
    return image
  }

  public func interpolation(_ interpolation: Interpolation) -> Image {
    var image = self
    image.isPixelated = interpolation == .none
    return image
  }

  public func renderingMode(_ mode: TemplateRenderingMode?) -> Image { self }
  public enum TemplateRenderingMode: Sendable { case template, original }

  public func boxes() -> [Box] {
    switch source {
    case .symbol(let name):
      let drawing = Rendering.symbols[name] ?? "<text y=\"18\">?</text>"
      let svg = "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\">\(drawing)</svg>"
      return [Box(markup: svg, classes: ["symbol"])]
    case .asset(let name):
      return [Box(markup: escape(name))]
    case .pixels(let png, let size):
      let sized = isResizable ? "width:100%;height:100%" : "width:\(size.width)px;height:\(size.height)px"
      let pixels = isPixelated ? ";image-rendering:pixelated" : ""
      let address = "data:image/png;base64,\(png.base64EncodedString())"
      let style = "display:block;object-fit:cover;\(sized)\(pixels)"
      var box = Box(markup: "<img src=\"\(address)\" style=\"\(style)\" alt=\"\">")
      (box.growsWide, box.growsHigh) = (isResizable, isResizable)
      return [box]
    }
  }
}

public struct EdgeInsets: Sendable {
  let top, leading, bottom, trailing: CGFloat
  public init() { self.init(top: 0, leading: 0, bottom: 0, trailing: 0) }
  public init(top: CGFloat, leading: CGFloat, bottom: CGFloat, trailing: CGFloat) {
    (self.top, self.leading, self.bottom, self.trailing) = (top, leading, bottom, trailing)
  }
  var css: String { "\(top)px \(trailing)px \(bottom)px \(leading)px" }
}

public enum ContentMode: Sendable { case fit, fill }

extension View {
  public func aspectRatio(_ ratio: CGFloat? = nil, contentMode: ContentMode) -> some View {
    each { box in
      var outer = box.wrapped(ratio.map { "aspect-ratio:\($0)" } ?? "")
      (outer.growsWide, outer.growsHigh) = (true, false)
      return outer
    }
  }
  public func scaledToFit() -> some View { self }
  public func scaledToFill() -> some View { self }
  public func imageScale(_ scale: Image.Scale) -> some View {
    wrapped("--symbol:\(scale == .large ? 1.3 : scale == .small ? 0.8 : 1)")
  }
  public func symbolRenderingMode(_ mode: SymbolRenderingMode?) -> some View { self }
  public func symbolVariant(_ variant: SymbolVariants) -> some View { self }
}

public struct SymbolRenderingMode: Sendable {
  public static let hierarchical = SymbolRenderingMode(), monochrome = SymbolRenderingMode()
}

public struct SymbolVariants: Sendable {
  public static let none = SymbolVariants(), fill = SymbolVariants()
}

public struct Label: DrawnView {
  let title: Text
  let symbol: String

  public init(_ title: LocalizedStringKey, systemImage: String) {
    (self.title, symbol) = (Text(title), systemImage)
  }
  @_disfavoredOverload
  public init<S: StringProtocol>(_ title: S, systemImage: String) {
    (self.title, symbol) = (Text(title), systemImage)
  }

  public func boxes() -> [Box] {
    var icon = Image(systemName: symbol).boxes()
    if Rendering.environment.isIconOnly {
      icon[0].label = title.string
      return icon
    }
    return [Box(.row, icon + title.boxes(), classes: ["label"])]
  }
}

public protocol LabelStyle {
  var isIconOnly: Bool { get }
}
public struct IconOnlyLabelStyle: LabelStyle {
  public var isIconOnly: Bool { true }
}
public struct TitleAndIconLabelStyle: LabelStyle {
  public var isIconOnly: Bool { false }
}
extension LabelStyle where Self == IconOnlyLabelStyle {
  public static var iconOnly: IconOnlyLabelStyle { .init() }
}
extension LabelStyle where Self == TitleAndIconLabelStyle {
  public static var titleAndIcon: TitleAndIconLabelStyle { .init() }
}
extension View {
  public func labelStyle<S: LabelStyle>(_ style: S) -> some View {
    let isIconOnly = style.isIconOnly
    return surrounded { $0.isIconOnly = isIconOnly }
  }
}
