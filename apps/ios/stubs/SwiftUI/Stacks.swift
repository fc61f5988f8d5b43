import Foundation

public enum HorizontalAlignment: Sendable {
  case leading, center, trailing
  var css: String {
    switch self {
    case .leading: "flex-start"
    case .center: "center"
    case .trailing: "flex-end"
    }
  }
}

public enum VerticalAlignment: Sendable {
  case top, center, bottom, firstTextBaseline, lastTextBaseline
  var css: String {
    switch self {
    case .top: "flex-start"
    case .center: "center"
    case .bottom: "flex-end"
    case .firstTextBaseline, .lastTextBaseline: "baseline"
    }
  }
}

public struct Alignment: Sendable {
  let horizontal: HorizontalAlignment
  let vertical: VerticalAlignment

  public init(horizontal: HorizontalAlignment, vertical: VerticalAlignment) {
    (self.horizontal, self.vertical) = (horizontal, vertical)
  }

  public static let center = Alignment(horizontal: .center, vertical: .center)
  public static let leading = Alignment(horizontal: .leading, vertical: .center)
  public static let trailing = Alignment(horizontal: .trailing, vertical: .center)
  public static let top = Alignment(horizontal: .center, vertical: .top)
  public static let bottom = Alignment(horizontal: .center, vertical: .bottom)
  public static let topLeading = Alignment(horizontal: .leading, vertical: .top)
  public static let topTrailing = Alignment(horizontal: .trailing, vertical: .top)
  public static let bottomLeading = Alignment(horizontal: .leading, vertical: .bottom)
  public static let bottomTrailing = Alignment(horizontal: .trailing, vertical: .bottom)

  /// For a column with one child.
  var column: String { "align-items:\(horizontal.css);justify-content:\(vertical.css)" }
}

public struct VStack<Content: View>: DrawnView {
  let alignment: HorizontalAlignment
  let spacing: CGFloat?
  let content: Content
  public init(
    alignment: HorizontalAlignment = .center, spacing: CGFloat? = nil, @ViewBuilder content: () -> Content
  ) {
    (self.alignment, self.spacing, self.content) = (alignment, spacing, content())
  }
  public func boxes() -> [Box] {
    [Box(.column, SwiftUI.boxes(of: content), style: ["gap:\(spacing ?? 8)px", "align-items:\(alignment.css)"])]
  }
}

public typealias LazyVStack = VStack

public struct HStack<Content: View>: DrawnView {
  let alignment: VerticalAlignment
  let spacing: CGFloat?
  let content: Content
  public init(
    alignment: VerticalAlignment = .center, spacing: CGFloat? = nil, @ViewBuilder content: () -> Content
  ) {
    (self.alignment, self.spacing, self.content) = (alignment, spacing, content())
  }
  public func boxes() -> [Box] {
    [Box(.row, SwiftUI.boxes(of: content), style: ["gap:\(spacing ?? 8)px", "align-items:\(alignment.css)"])]
  }
}

public struct ZStack<Content: View>: DrawnView {
  let alignment: Alignment
  let content: Content
  public init(alignment: Alignment = .center, @ViewBuilder content: () -> Content) {
    (self.alignment, self.content) = (alignment, content())
  }
  public func boxes() -> [Box] {
    let place = "align-items:\(alignment.vertical.css);justify-items:\(alignment.horizontal.css)"
    return [Box(.pile, SwiftUI.boxes(of: content), style: [place])]
  }
}

public struct Spacer: DrawnView {
  let minLength: CGFloat?
  public init(minLength: CGFloat? = nil) { self.minLength = minLength }
  public func boxes() -> [Box] {
    var box = Box(.column, [], style: ["min-width:\(minLength ?? 8)px"], classes: ["spacer"])
    (box.growsWide, box.growsHigh) = (true, false)
    return [box]
  }
}

public struct Divider: DrawnView {
  public init() {}
  public func boxes() -> [Box] {
    var box = Box(.column, [], classes: ["divider"])
    box.growsWide = true
    return [box]
  }
}

public struct Axis: Sendable {
  public struct Set: OptionSet, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }
    public static let horizontal = Set(rawValue: 1)
    public static let vertical = Set(rawValue: 2)
  }
  public static let horizontal = Axis(), vertical = Axis()
}

public struct ScrollView<Content: View>: DrawnView {
  let axes: Axis.Set
  let content: Content
  public init(_ axes: Axis.Set = .vertical, showsIndicators: Bool = true, @ViewBuilder content: () -> Content) {
    (self.axes, self.content) = (axes, content())
  }
  public func boxes() -> [Box] {
    let horizontal = axes.contains(.horizontal)
    var box = Box(horizontal ? .row : .column, SwiftUI.boxes(of: content), classes: ["scroll"])
    (box.growsWide, box.growsHigh) = (true, !horizontal)
    return [box]
  }
}

public struct GridItem: Sendable {
  public enum Size: Sendable {
    case fixed(CGFloat)
    case flexible(minimum: CGFloat = 10, maximum: CGFloat = .infinity)
    case adaptive(minimum: CGFloat, maximum: CGFloat = .infinity)
  }
  let size: Size
  let spacing: CGFloat?
  public init(_ size: Size = .flexible(), spacing: CGFloat? = nil, alignment: Alignment? = nil) {
    (self.size, self.spacing) = (size, spacing)
  }
  var css: String {
    switch size {
    case .fixed(let width): "\(width)px"
    case .flexible(let least, _): "minmax(\(least)px, 1fr)"
    case .adaptive(let least, _): "repeat(auto-fill, minmax(\(least)px, 1fr))"
    }
  }
}

public struct LazyVGrid<Content: View>: DrawnView {
  let columns: [GridItem]
  let spacing: CGFloat?
  let content: Content
  public init(
    columns: [GridItem], alignment: HorizontalAlignment = .center, spacing: CGFloat? = nil,
    @ViewBuilder content: () -> Content
  ) {
    (self.columns, self.spacing, self.content) = (columns, spacing, content())
  }
  public func boxes() -> [Box] {
    let tracks = columns.map(\.css).joined(separator: " ")
    let gap = "gap:\(spacing ?? 8)px \(columns.first?.spacing ?? 8)px"
    var box = Box(
      .column, SwiftUI.boxes(of: content), style: ["display:grid", "grid-template-columns:\(tracks)", gap])
    box.growsWide = true
    return [box]
  }
}
