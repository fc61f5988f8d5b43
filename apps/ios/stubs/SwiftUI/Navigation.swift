import Foundation

/// What a screen has said of its navigation bar.
struct NavigationBar {
  var title: String?
  var isInline = false
  var leading: [Box] = []
  var trailing: [Box] = []
  var bottom: [Box] = []
}

public struct NavigationStack<Root: View>: DrawnView {
  let root: Root
  public init(@ViewBuilder root: () -> Root) { self.root = root() }

  public func boxes() -> [Box] {
    let before = Rendering.bar
    defer { Rendering.bar = before }
    Rendering.bar = NavigationBar()
    let content = SwiftUI.boxes(of: root)
    let bar = Rendering.bar
    var screen = Box(.column, Self.draw(bar) + content, classes: ["screen"])
    (screen.growsWide, screen.growsHigh) = (true, true)
    return [screen]
  }

  private static func draw(_ bar: NavigationBar) -> [Box] {
    let title = bar.title.map { Box(markup: escape($0)) }
    let leading = Box(.row, bar.leading, classes: ["bar-side"])
    let trailing = Box(.row, bar.trailing, classes: ["bar-side", "bar-end"])
    let middle = Box(.row, bar.isInline ? [title].compactMap { $0 } : [], classes: ["bar-title"])
    let row = Box(.row, [leading, middle, trailing], classes: ["bar"])
    let large = bar.isInline ? [] : [title].compactMap { $0?.wrapped("", classes: ["large-title"]) }
    return [row] + large
  }
}

public struct NavigationLink<Label: View, Destination: View>: DrawnView {
  let label: Label

  public init(@ViewBuilder destination: () -> Destination, @ViewBuilder label: () -> Label) { self.label = label() }

  public func boxes() -> [Box] {
    let label = SwiftUI.boxes(of: label)
    guard Rendering.environment.isInList else { return label }
    var box = Box(.row, label + [Box(markup: "", classes: ["chevron"])], style: ["align-items:center", "gap:8px"])
    box.growsWide = true
    return [box]
  }
}

extension NavigationLink where Destination == Never {
  public init<P: Hashable>(value: P?, @ViewBuilder label: () -> Label) { self.label = label() }
}

public struct TabView<Selection: Hashable, Content: View>: DrawnView {
  let selection: Binding<Selection>?
  let content: Content

  public init(selection: Binding<Selection>?, @ViewBuilder content: () -> Content) {
    (self.selection, self.content) = (selection, content())
  }

  public func boxes() -> [Box] {
    let tabs = SwiftUI.boxes(of: content)
    let chosen = tabs.first { $0.tag == selection.map { AnyHashable($0.wrappedValue) } } ?? tabs[0]
    let items = tabs.map { tab in
      Box(.column, tab.tabItem ?? [], classes: tab.tag == chosen.tag ? ["tab", "chosen"] : ["tab"])
    }
    var box = Box(.column, [chosen, Box(.row, items, classes: ["tab-bar"])], classes: ["tabs"])
    (box.growsWide, box.growsHigh) = (true, true)
    return [box]
  }
}

public struct ToolbarItemPlacement: Sendable {
  let isLeading: Bool
  public static let automatic = ToolbarItemPlacement(isLeading: false)
  public static let topBarLeading = ToolbarItemPlacement(isLeading: true)
  public static let topBarTrailing = ToolbarItemPlacement(isLeading: false)
  public static let primaryAction = ToolbarItemPlacement(isLeading: false)
  public static let confirmationAction = ToolbarItemPlacement(isLeading: false)
  public static let cancellationAction = ToolbarItemPlacement(isLeading: true)
}

@MainActor @preconcurrency
public protocol ToolbarContent {
  func fill()
}

public struct ToolbarItem<Content: View>: ToolbarContent {
  let placement: ToolbarItemPlacement
  let content: Content
  public init(placement: ToolbarItemPlacement = .automatic, @ViewBuilder content: () -> Content) {
    (self.placement, self.content) = (placement, content())
  }
  public func fill() {
    let before = Rendering.environment
    defer { Rendering.environment = before }
    Rendering.environment.isIconOnly = true
    Rendering.environment.isInList = false
    let boxes = SwiftUI.boxes(of: content)
    if placement.isLeading { Rendering.bar.leading += boxes } else { Rendering.bar.trailing += boxes }
  }
}

public struct ToolbarParts: ToolbarContent {
  let parts: [any ToolbarContent]
  public func fill() {
    for part in parts { part.fill() }
  }
}

@resultBuilder @MainActor
public enum ToolbarContentBuilder {
  public static func buildExpression<C: ToolbarContent>(_ content: C) -> C { content }
  public static func buildBlock<each C: ToolbarContent>(_ content: repeat each C) -> ToolbarParts {
    var parts: [any ToolbarContent] = []
    repeat parts.append(each content)
    return ToolbarParts(parts: parts)
  }
  public static func buildIf<C: ToolbarContent>(_ content: C?) -> ToolbarParts {
    ToolbarParts(parts: content.map { [$0] } ?? [])
  }
}

extension View {
  public func navigationTitle(_ title: LocalizedStringKey) -> some View { navigationTitle(Text(title)) }
  @_disfavoredOverload
  public func navigationTitle<S: StringProtocol>(_ title: S) -> some View { navigationTitle(Text(title)) }
  public func navigationTitle(_ title: Text) -> some View {
    changed { boxes in
      Rendering.bar.title = title.string
      return boxes
    }
  }
  public func navigationBarTitleDisplayMode(_ mode: NavigationBarItem.TitleDisplayMode) -> some View {
    changed { boxes in
      Rendering.bar.isInline = mode == .inline
      return boxes
    }
  }
  public func navigationDestination<D: Hashable, C: View>(
    for data: D.Type, @ViewBuilder destination: @escaping (D) -> C
  ) -> some View { self }
  public func toolbar<Content: ToolbarContent>(@ToolbarContentBuilder content: () -> Content) -> some View {
    let content = content()
    return changed { boxes in
      content.fill()
      return boxes
    }
  }
  public func tabItem<V: View>(@ViewBuilder _ label: () -> V) -> some View {
    let label = label()
    return each { box in
      var box = box
      box.tabItem = SwiftUI.boxes(of: label)
      return box
    }
  }
  public func safeAreaInset<V: View>(
    edge: VerticalEdge, alignment: HorizontalAlignment = .center, spacing: CGFloat? = nil,
    @ViewBuilder content: () -> V
  ) -> some View {
    let inset = content()
    return changed { boxes in
      let bottom = SwiftUI.boxes(of: inset)
      var box = Box(.column, edge == .bottom ? boxes + bottom : bottom + boxes)
      (box.growsWide, box.growsHigh) = (true, true)
      return [box]
    }
  }
}

public enum NavigationBarItem {
  public enum TitleDisplayMode: Sendable { case automatic, inline, large }
}
