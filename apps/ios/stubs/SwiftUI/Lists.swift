import Foundation

public struct List<Content: View>: DrawnView {
  let content: Content
  public init(@ViewBuilder content: () -> Content) { self.content = content() }

  public func boxes() -> [Box] {
    let before = Rendering.environment
    defer { Rendering.environment = before }
    Rendering.environment.isInList = true
    var sections: [Box] = []
    var loose: [Box] = []
    for box in SwiftUI.boxes(of: content) {
      if box.isSection {
        if !loose.isEmpty { sections.append(card(loose)) }
        loose = []
        sections.append(box)
      } else {
        loose.append(box)
      }
    }
    if !loose.isEmpty { sections.append(card(loose)) }
    var list = Box(.column, sections, classes: ["list"])
    (list.growsWide, list.growsHigh) = (true, true)
    return [list]
  }
}

public typealias Form = List

/// Rows on one card.
@MainActor
private func card(_ rows: [Box]) -> Box {
  let isBare = rows.contains(where: \.isBare)
  return Box(
    .column, rows.map { $0.wrapped("", classes: ["cell"]) }, classes: isBare ? ["card", "bare"] : ["card"])
}

public struct Section<Parent: View, Content: View, Footer: View>: DrawnView {
  let header: Parent
  let footer: Footer
  let content: Content

  public init(
    @ViewBuilder content: () -> Content, @ViewBuilder header: () -> Parent, @ViewBuilder footer: () -> Footer
  ) {
    (self.header, self.content, self.footer) = (header(), content(), footer())
  }

  public func boxes() -> [Box] {
    let rows = SwiftUI.boxes(of: content)
    let above = SwiftUI.boxes(of: header).map { $0.wrapped("", classes: ["header"]) }
    let below = SwiftUI.boxes(of: footer).map { $0.wrapped("", classes: ["footer"]) }
    var box = Box(.column, above + (rows.isEmpty ? [] : [card(rows)]) + below, classes: ["section"])
    box.isSection = true
    return [box]
  }
}

extension Section where Footer == EmptyView {
  public init(@ViewBuilder content: () -> Content, @ViewBuilder header: () -> Parent) {
    self.init(content: content, header: header) { EmptyView() }
  }
}

extension Section where Parent == EmptyView {
  public init(@ViewBuilder content: () -> Content, @ViewBuilder footer: () -> Footer) {
    self.init(content: content) {
      EmptyView()
    } footer: {
      footer()
    }
  }
}

extension Section where Parent == EmptyView, Footer == EmptyView {
  public init(@ViewBuilder content: () -> Content) {
    self.init(content: content) {
      EmptyView()
    } footer: {
      EmptyView()
    }
  }
}

extension Section where Parent == Text, Footer == EmptyView {
  public init(_ title: LocalizedStringKey, @ViewBuilder content: () -> Content) {
    self.init(content: content) {
      Text(title)
    } footer: {
      EmptyView()
    }
  }
}

public struct LabeledContent<Label: View, Content: View>: DrawnView {
  let label: Label
  let content: Content

  public init(@ViewBuilder content: () -> Content, @ViewBuilder label: () -> Label) {
    (self.content, self.label) = (content(), label())
  }

  public func boxes() -> [Box] {
    let value = SwiftUI.boxes(of: content).map { $0.wrapped("color:var(--secondary);text-align:right") }
    let boxes =
      HStack {
        label
        Spacer()
      }.boxes() + value
    var box = Box(.row, boxes, style: ["align-items:center", "gap:8px"])
    box.growsWide = true
    return [box]
  }
}

extension LabeledContent where Label == Text, Content == Text {
  public init<S: StringProtocol>(_ title: LocalizedStringKey, value: S) {
    self.init {
      Text(value)
    } label: {
      Text(title)
    }
  }
}

extension LabeledContent where Label == Text {
  public init(_ title: LocalizedStringKey, @ViewBuilder content: () -> Content) {
    self.init(content: content) { Text(title) }
  }
}

public struct ContentUnavailableView<Label: View, Description: View, Actions: View>: DrawnView {
  let label: Label
  let description: Description
  let actions: Actions

  public init(
    @ViewBuilder label: () -> Label, @ViewBuilder description: () -> Description,
    @ViewBuilder actions: () -> Actions
  ) {
    (self.label, self.description, self.actions) = (label(), description(), actions())
  }

  public func boxes() -> [Box] {
    let title = SwiftUI.boxes(of: label).map { $0.wrapped("", classes: ["unavailable"]) }
    let text = SwiftUI.boxes(of: description).map { $0.wrapped("color:var(--secondary);text-align:center") }
    let inside = title + text + SwiftUI.boxes(of: actions)
    var box = Box(.column, inside, style: ["align-items:center;justify-content:center;gap:12px;padding:32px"])
    (box.growsWide, box.growsHigh) = (true, true)
    return [box]
  }
}

extension ContentUnavailableView where Label == SwiftUI.Label, Description == Text?, Actions == EmptyView {
  public init(_ title: LocalizedStringKey, systemImage: String, description: Text? = nil) {
    self.init {
      SwiftUI.Label(title, systemImage: systemImage)
    } description: {
      description
    } actions: {
      EmptyView()
    }
  }
}

extension View {
  public func swipeActions<T: View>(
    edge: HorizontalEdge = .trailing, allowsFullSwipe: Bool = true, @ViewBuilder content: () -> T
  ) -> some View { self }
  public func listStyle<S: ListStyle>(_ style: S) -> some View { self }
  public func listRowBackground<V: View>(_ view: V?) -> some View {
    each { box in
      var box = box
      box.isBare = view != nil
      return box
    }
  }
  public func listRowInsets(_ insets: EdgeInsets?) -> some View { self }
  public func listRowSeparator(_ visibility: Visibility) -> some View { self }
  public func contextMenu<Items: View>(@ViewBuilder menuItems: () -> Items) -> some View { self }
}

public enum Visibility: Sendable { case automatic, visible, hidden }
public protocol ListStyle {}
public struct InsetGroupedListStyle: ListStyle {}
extension ListStyle where Self == InsetGroupedListStyle {
  public static var insetGrouped: InsetGroupedListStyle { .init() }
}
