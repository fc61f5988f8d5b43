import Foundation

public struct Edge: Sendable {
  public struct Set: OptionSet, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }
    public static let top = Set(rawValue: 1), leading = Set(rawValue: 2)
    public static let bottom = Set(rawValue: 4), trailing = Set(rawValue: 8)
    public static let horizontal: Set = [.leading, .trailing]
    public static let vertical: Set = [.top, .bottom]
    public static let all: Set = [.horizontal, .vertical]
  }
}

public enum VerticalEdge: Sendable { case top, bottom }
public enum HorizontalEdge: Sendable { case leading, trailing }

extension View {
  public func padding(_ edges: Edge.Set = .all, _ length: CGFloat? = nil) -> some View {
    let size = length ?? 16
    let sides = [Edge.Set.top, .trailing, .bottom, .leading].map { edges.contains($0) ? "\(size)px" : "0" }
    return wrapped("padding:\(sides.joined(separator: " "))")
  }
  public func padding(_ length: CGFloat) -> some View { padding(.all, length) }
  public func padding(_ insets: EdgeInsets) -> some View { wrapped("padding:\(insets.css)") }

  public func frame(width: CGFloat? = nil, height: CGFloat? = nil, alignment: Alignment = .center) -> some View {
    each { box in
      var outer = box.wrapped(alignment.column, "flex-shrink:0")
      if let width { outer.style.append("width:\(width)px") }
      if let height { outer.style.append("height:\(height)px") }
      if width != nil { outer.growsWide = false }
      if height != nil { outer.growsHigh = false }
      return outer
    }
  }

  public func frame(
    minWidth: CGFloat? = nil, idealWidth: CGFloat? = nil, maxWidth: CGFloat? = nil, minHeight: CGFloat? = nil,
    idealHeight: CGFloat? = nil, maxHeight: CGFloat? = nil, alignment: Alignment = .center
  ) -> some View {
    each { box in
      var outer = box.wrapped(alignment.column)
      if let minWidth { outer.style.append("min-width:\(minWidth)px") }
      if let minHeight { outer.style.append("min-height:\(minHeight)px") }
      if let maxWidth {
        if maxWidth.isFinite { outer.style.append("max-width:\(maxWidth)px") }
        outer.growsWide = true
      }
      if let maxHeight {
        if maxHeight.isFinite { outer.style.append("max-height:\(maxHeight)px") }
        outer.growsHigh = true
      }
      return outer
    }
  }

  public func fixedSize(horizontal: Bool = true, vertical: Bool = true) -> some View { wrapped("flex-shrink:0") }
  public func layoutPriority(_ value: Double) -> some View { self }
  public func offset(x: CGFloat = 0, y: CGFloat = 0) -> some View {
    wrapped("transform:translate(\(x)px,\(y)px)")
  }
  public func scaleEffect(x: CGFloat = 1, y: CGFloat = 1, anchor: UnitPoint = .center) -> some View {
    wrapped("transform:scale(\(x),\(y));transform-origin:\(anchor.css)")
  }

  public func foregroundStyle<S: ShapeStyle>(_ style: S) -> some View { wrapped("color:\(style.css)") }
  public func tint<S: ShapeStyle>(_ tint: S?) -> some View { wrapped(tint.map { "--tint:\($0.css)" } ?? "") }
  public func tint(_ tint: Color?) -> some View { wrapped(tint.map { "--tint:\($0.css)" } ?? "") }
  public func opacity(_ opacity: Double) -> some View { wrapped("opacity:\(opacity)") }
  public func shadow(color: Color = .black.opacity(0.33), radius: CGFloat, x: CGFloat = 0, y: CGFloat = 0) -> some View
  {
    wrapped("filter:drop-shadow(\(x)px \(y)px \(radius)px \(color.css))")
  }
  public func blur(radius: CGFloat, opaque: Bool = false) -> some View { wrapped("filter:blur(\(radius)px)") }

  public func background<S: ShapeStyle>(_ style: S, ignoresSafeAreaEdges edges: Edge.Set = .all) -> some View {
    wrapped("background:\(style.css)")
  }
  public func background<S: ShapeStyle, T: Shape>(_ style: S, in shape: T) -> some View {
    wrapped("background:\(style.css);border-radius:\(shape.radius)")
  }
  public func background<V: View>(alignment: Alignment = .center, @ViewBuilder content: () -> V) -> some View {
    let behind = content()
    return each { Box.layered($0, with: SwiftUI.boxes(of: behind), at: alignment, behind: true) }
  }
  public func overlay<V: View>(alignment: Alignment = .center, @ViewBuilder content: () -> V) -> some View {
    let above = content()
    return each { Box.layered($0, with: SwiftUI.boxes(of: above), at: alignment, behind: false) }
  }
  public func overlay<S: ShapeStyle>(_ style: S) -> some View { overlay { Rectangle().fill(style) } }
  public func clipShape<S: Shape>(_ shape: S) -> some View {
    wrapped("border-radius:\(shape.radius);overflow:hidden")
  }
  public func clipped() -> some View { wrapped("overflow:hidden") }
  public func contentShape<S: Shape>(_ shape: S) -> some View { self }
  public func ignoresSafeArea() -> some View { self }

  public func disabled(_ disabled: Bool) -> some View {
    surrounded { $0.isEnabled = $0.isEnabled && !disabled }
  }
  public func hidden() -> some View { wrapped("visibility:hidden") }
  public func tag<V: Hashable>(_ tag: V) -> some View {
    each { box in
      var box = box
      box.tag = AnyHashable(tag)
      return box
    }
  }
  public func id<ID: Hashable>(_ id: ID) -> some View { self }
  public func animation<V: Equatable>(_ animation: Animation?, value: V) -> some View { self }
  public func transition(_ transition: AnyTransition) -> some View { self }
  public func contentTransition(_ transition: ContentTransition) -> some View { self }
  public func sensoryFeedback<T: Equatable>(_ feedback: SensoryFeedback, trigger: T) -> some View { self }

  public func onAppear(perform action: (() -> Void)? = nil) -> some View { self }
  public func onDisappear(perform action: (() -> Void)? = nil) -> some View { self }
  public func onTapGesture(count: Int = 1, perform action: @escaping () -> Void) -> some View { self }
  public func gesture(_ gesture: DragGesture) -> some View { self }
  public func onSubmit(_ action: @escaping () -> Void) -> some View { self }
  public func task(
    priority: TaskPriority = .userInitiated, @_inheritActorContext _ action: @escaping @Sendable () async -> Void
  ) -> some View { self }
  public func onChange<V: Equatable>(
    of value: V, initial: Bool = false, _ action: @escaping (_ old: V, _ new: V) -> Void
  ) -> some View { self }
  public func onChange<V: Equatable>(of value: V, initial: Bool = false, _ action: @escaping () -> Void) -> some View {
    self
  }
}

extension Box {
  /// A box with others over all of it.
  static func layered(_ box: Box, with others: [Box], at alignment: Alignment, behind: Bool) -> Box {
    var layer = Box(.column, others, style: [alignment.column], classes: ["layer"])
    (layer.growsWide, layer.growsHigh) = (false, false)
    var outer = Box(.column, behind ? [layer, box.wrapped("position:relative")] : [box, layer], classes: ["layered"])
    (outer.growsWide, outer.growsHigh) = (box.growsWide, box.growsHigh)
    (outer.tag, outer.tabItem) = (box.tag, box.tabItem)
    return outer
  }
}

public struct UnitPoint: Sendable {
  let css: String
  public static let center = UnitPoint(css: "center"), leading = UnitPoint(css: "left center")
  public static let trailing = UnitPoint(css: "right center")
}

public struct Animation: Sendable {
  public static let `default` = Animation(), easeInOut = Animation(), snappy = Animation(), smooth = Animation()
}

public struct AnyTransition: Sendable {
  public static let opacity = AnyTransition()
}

public struct ContentTransition: Sendable {
  public static let opacity = ContentTransition()
  public static func numericText(countsDown: Bool = false) -> ContentTransition { .init() }
}

public struct SensoryFeedback: Equatable, Sendable {
  public static let success = SensoryFeedback(), selection = SensoryFeedback()
}

extension View {
  public func accessibilityLabel(_ label: LocalizedStringKey) -> some View { accessibilityLabel(Text(label)) }
  @_disfavoredOverload
  public func accessibilityLabel<S: StringProtocol>(_ label: S) -> some View { accessibilityLabel(Text(label)) }
  public func accessibilityLabel(_ label: Text) -> some View {
    each { box in
      var box = box
      box.label = label.string
      return box
    }
  }
  public func accessibilityValue(_ value: LocalizedStringKey) -> some View { accessibilityValue(Text(value)) }
  @_disfavoredOverload
  public func accessibilityValue<S: StringProtocol>(_ value: S) -> some View { accessibilityValue(Text(value)) }
  public func accessibilityValue(_ value: Text) -> some View {
    changed { boxes in
      _ = value.string
      return boxes
    }
  }
  public func accessibilityHint(_ hint: LocalizedStringKey) -> some View {
    changed { boxes in
      _ = hint.text
      return boxes
    }
  }
  public func accessibilityHidden(_ hidden: Bool) -> some View { self }
  public func accessibilityElement(children: AccessibilityChildBehavior = .ignore) -> some View { self }
  public func accessibilityAddTraits(_ traits: AccessibilityTraits) -> some View { self }
}

public struct AccessibilityChildBehavior: Sendable {
  public static let ignore = AccessibilityChildBehavior(), combine = AccessibilityChildBehavior()
  public static let contain = AccessibilityChildBehavior()
}

public struct AccessibilityTraits: OptionSet, Sendable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }
  public static let isSelected = AccessibilityTraits(rawValue: 1)
  public static let isHeader = AccessibilityTraits(rawValue: 2)
  public static let isButton = AccessibilityTraits(rawValue: 4)
  public static let updatesFrequently = AccessibilityTraits(rawValue: 8)
}
