import Foundation
import UIKit

public protocol ShapeStyle: Sendable {
  /// A value for CSS's `color` or `background`.
  var css: String { get }
}

// swift-format-ignore: DontRepeatTypeInStaticProperties
public struct Color: ShapeStyle, Hashable {
  public let css: String

  init(css: String) { self.css = css }
  public init(_ name: String, bundle: Bundle? = nil) { css = "var(--\(name))" }
  public init(uiColor: UIColor) { css = uiColor.css }
  public init(_ color: UIColor) { css = color.css }
  public init(red: Double, green: Double, blue: Double, opacity: Double = 1) {
    css = "rgba(\(red * 255),\(green * 255),\(blue * 255),\(opacity))"
  }

  public static let primary = Color(css: "var(--label)")
  public static let secondary = Color(css: "var(--secondary)")
  public static let white = Color(css: "#fff")
  public static let black = Color(css: "#000")
  public static let clear = Color(css: "transparent")
  public static let red = Color(css: "var(--red)")
  public static let orange = Color(css: "var(--orange)")
  public static let green = Color(css: "var(--green)")
  public static let gray = Color(css: "var(--gray)")

  public func opacity(_ opacity: Double) -> Color {
    Color(css: "color-mix(in srgb, \(css) \(opacity * 100)%, transparent)")
  }
}

extension Color: DrawnView {
  public func boxes() -> [Box] {
    var box = Box(.column, [], style: ["background:\(css)"])
    (box.growsWide, box.growsHigh) = (true, true)
    return [box]
  }
}

extension ShapeStyle where Self == Color {
  public static var white: Color { .white }
  public static var black: Color { .black }
  public static var clear: Color { .clear }
  public static var red: Color { .red }
  public static var orange: Color { .orange }
  public static var green: Color { .green }
  public static var gray: Color { .gray }
}

public struct HierarchicalShapeStyle: ShapeStyle {
  public let css: String
}

extension ShapeStyle where Self == HierarchicalShapeStyle {
  public static var primary: HierarchicalShapeStyle { .init(css: "var(--label)") }
  public static var secondary: HierarchicalShapeStyle { .init(css: "var(--secondary)") }
  public static var tertiary: HierarchicalShapeStyle { .init(css: "var(--tertiary)") }
  public static var quaternary: HierarchicalShapeStyle { .init(css: "var(--fill)") }
}

public struct TintShapeStyle: ShapeStyle {
  public var css: String { "var(--tint)" }
}

extension ShapeStyle where Self == TintShapeStyle {
  public static var tint: TintShapeStyle { .init() }
}

public struct BackgroundStyle: ShapeStyle {
  public var css: String { "var(--background)" }
}

extension ShapeStyle where Self == BackgroundStyle {
  public static var background: BackgroundStyle { .init() }
}

public struct FillShapeStyle: ShapeStyle {
  public var css: String { "var(--fill)" }
}

extension ShapeStyle where Self == FillShapeStyle {
  public static var fill: FillShapeStyle { .init() }
}

public struct Material: ShapeStyle {
  public var css: String { "var(--material);backdrop-filter:blur(18px) saturate(1.6)" }
}

extension ShapeStyle where Self == Material {
  public static var bar: Material { .init() }
  public static var thinMaterial: Material { .init() }
  public static var ultraThinMaterial: Material { .init() }
  public static var regularMaterial: Material { .init() }
}

public struct AnyShapeStyle: ShapeStyle {
  public let css: String
  public init<S: ShapeStyle>(_ style: S) { css = style.css }
}

@MainActor @preconcurrency
public protocol Shape: View, Sendable {
  /// Value of CSS's `border-radius`.
  nonisolated var radius: String { get }
}

public struct Rectangle: Shape {
  public init() {}
  public nonisolated var radius: String { "0" }
}

public struct RoundedRectangle: Shape {
  let cornerRadius: CGFloat
  public init(cornerRadius: CGFloat, style: RoundedCornerStyle = .continuous) { self.cornerRadius = cornerRadius }
  public nonisolated var radius: String { "\(cornerRadius)px" }
}

public enum RoundedCornerStyle: Sendable {
  case circular, continuous
}

public struct Capsule: Shape {
  public init(style: RoundedCornerStyle = .continuous) {}
  public nonisolated var radius: String { "999px" }
}

public struct Circle: Shape {
  public init() {}
  public nonisolated var radius: String { "50%" }
}

extension Shape where Self == Capsule {
  public static var capsule: Capsule { .init() }
}

extension Shape where Self == Circle {
  public static var circle: Circle { .init() }
}

extension Shape where Self == Rectangle {
  public static var rect: Rectangle { .init() }
}

extension Shape where Self == RoundedRectangle {
  public static func rect(cornerRadius: CGFloat, style: RoundedCornerStyle = .continuous) -> Self {
    .init(cornerRadius: cornerRadius, style: style)
  }
}

/// A shape that is filled or outlined.
public struct PaintedShape: DrawnView {
  let style: [String]

  public func boxes() -> [Box] {
    var box = Box(.column, [], style: style)
    (box.growsWide, box.growsHigh) = (true, true)
    return [box]
  }
}

extension Shape {
  public var body: PaintedShape { fill(Color.primary) }
  public func fill<S: ShapeStyle>(_ content: S) -> PaintedShape {
    PaintedShape(style: ["background:\(content.css)", "border-radius:\(radius)"])
  }
  public func strokeBorder<S: ShapeStyle>(_ content: S, lineWidth: CGFloat = 1) -> PaintedShape {
    PaintedShape(style: ["border:\(lineWidth)px solid \(content.css)", "border-radius:\(radius)"])
  }
  public func stroke<S: ShapeStyle>(_ content: S, lineWidth: CGFloat = 1) -> PaintedShape {
    strokeBorder(content, lineWidth: lineWidth)
  }
}
