import Foundation

public struct Text: DrawnView {
  enum Content {
    case key(LocalizedStringKey)
    case verbatim(String)
    case joined([Text])
  }

  let content: Content
  var style: [String] = []

  public init(_ key: LocalizedStringKey, comment: StaticString? = nil) { content = .key(key) }
  @_disfavoredOverload
  public init<S: StringProtocol>(_ content: S) { self.content = .verbatim(String(content)) }
  public init(verbatim content: String) { self.content = .verbatim(content) }
  public init<F: FormatStyle>(_ input: F.FormatInput, format: F)
  where F.FormatInput: Equatable, F.FormatOutput == String {
    content = .verbatim(format.format(input))
  }
  init(joined parts: [Text]) { content = .joined(parts) }

  public static func + (one: Text, other: Text) -> Text { Text(joined: [one, other]) }

  /// What is read.
  var string: String {
    switch content {
    case .key(let key): key.text
    case .verbatim(let text): text
    case .joined(let parts): parts.map(\.string).joined()
    }
  }

  var markup: String {
    let inside: String
    if case .joined(let parts) = content { inside = parts.map(\.markup).joined() } else { inside = escape(string) }
    return style.isEmpty ? inside : "<span style=\"\(style.joined(separator: ";"))\">\(inside)</span>"
  }

  public func boxes() -> [Box] { [Box(markup: markup, classes: ["text"])] }

  func adding(_ rule: String) -> Text {
    var text = self
    text.style.append(rule)
    return text
  }

  public func font(_ font: Font?) -> Text { font.map { adding($0.css) } ?? self }
  public func bold() -> Text { adding("font-weight:600") }
  public func italic() -> Text { adding("font-style:italic") }
  public func fontWeight(_ weight: Font.Weight?) -> Text { adding("font-weight:\(weight?.number ?? 400)") }
  public func monospacedDigit() -> Text { adding("font-variant-numeric:tabular-nums") }
  public func foregroundStyle<S: ShapeStyle>(_ style: S) -> Text { adding("color:\(style.css)") }
}

public struct Font: Hashable, Sendable {
  public enum TextStyle: CaseIterable, Hashable, Sendable {
    case largeTitle, title, title2, title3, headline, subheadline, body, callout, footnote, caption, caption2

    /// Points at the usual text size, and the weight.
    var look: (size: Double, line: Double, weight: Int) {
      switch self {
      case .largeTitle: (34, 41, 400)
      case .title: (28, 34, 400)
      case .title2: (22, 28, 400)
      case .title3: (20, 25, 400)
      case .headline: (17, 22, 600)
      case .body: (17, 22, 400)
      case .callout: (16, 21, 400)
      case .subheadline: (15, 20, 400)
      case .footnote: (13, 18, 400)
      case .caption: (12, 16, 400)
      case .caption2: (11, 13, 400)
      }
    }
  }

  public enum Weight: Hashable, Sendable {
    case regular, medium, semibold, bold
    var number: Int {
      switch self {
      case .regular: 400
      case .medium: 500
      case .semibold: 600
      case .bold: 700
      }
    }
  }

  public enum Design: Hashable, Sendable {
    case `default`, monospaced, rounded, serif
  }

  let css: String

  static func of(_ style: TextStyle, more: String = "") -> Font {
    let look = style.look
    return Font(css: "font-size:\(look.size)px;line-height:\(look.line)px;font-weight:\(look.weight)\(more)")
  }

  public static let largeTitle = of(.largeTitle), title = of(.title), title2 = of(.title2), title3 = of(.title3)
  public static let headline = of(.headline), subheadline = of(.subheadline), body = of(.body), callout = of(.callout)
  public static let footnote = of(.footnote), caption = of(.caption), caption2 = of(.caption2)

  public static func system(_ style: TextStyle, design: Design? = nil, weight: Weight? = nil) -> Font {
    of(style, more: weight.map { ";font-weight:\($0.number)" } ?? "")
  }
  public static func system(size: CGFloat, weight: Weight? = nil, design: Design? = nil) -> Font {
    Font(css: "font-size:\(size)px;line-height:1.2;font-weight:\(weight?.number ?? 400)")
  }
  public func weight(_ weight: Weight) -> Font { Font(css: css + ";font-weight:\(weight.number)") }
  public func bold() -> Font { weight(.bold) }
  public func monospacedDigit() -> Font { Font(css: css + ";font-variant-numeric:tabular-nums") }
  public func monospaced() -> Font { Font(css: css + ";font-family:monospace") }
}

extension View {
  public func font(_ font: Font?) -> some View { each { $0.wrapped(font?.css ?? "") } }
  public func fontWeight(_ weight: Font.Weight?) -> some View { wrapped("font-weight:\(weight?.number ?? 400)") }
  public func bold() -> some View { wrapped("font-weight:600") }
  public func monospacedDigit() -> some View { wrapped("font-variant-numeric:tabular-nums") }
  public func lineLimit(_ number: Int?) -> some View {
    wrapped(number.map { "--lines:\($0)" } ?? "", classes: number == nil ? [] : ["limited"])
  }
  public func lineLimit(_ limit: ClosedRange<Int>) -> some View { self }
  public func multilineTextAlignment(_ alignment: TextAlignment) -> some View { wrapped("text-align:\(alignment.css)") }
  public func textSelection<S: TextSelectability>(_ selectability: S) -> some View { self }
  public func minimumScaleFactor(_ factor: CGFloat) -> some View { self }
  public func truncationMode(_ mode: Text.TruncationMode) -> some View { self }
  public func textCase(_ textCase: Text.Case?) -> some View { self }
}

extension Text {
  public enum TruncationMode: Sendable { case head, tail, middle }
  public enum Case: Sendable { case uppercase, lowercase }
}

public enum TextAlignment: Hashable, Sendable {
  case leading, center, trailing
  var css: String {
    switch self {
    case .leading: "left"
    case .center: "center"
    case .trailing: "right"
    }
  }
}

public protocol TextSelectability {}
public struct EnabledTextSelectability: TextSelectability {}
extension TextSelectability where Self == EnabledTextSelectability {
  public static var enabled: EnabledTextSelectability { .init() }
}
