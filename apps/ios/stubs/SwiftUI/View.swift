import Foundation

@MainActor @preconcurrency
public protocol View {
  associatedtype Body: View
  @ViewBuilder var body: Body { get }
}

extension Never: View {
  public var body: Never { fatalError("Never has no body") }
}

/// A view of this module: it becomes boxes, and has no body.
@MainActor
public protocol DrawnView: View where Body == Never {
  func boxes() -> [Box]
}

extension DrawnView {
  public var body: Never { fatalError("a view of this module has no body") }
}

/// The boxes of any view: its own, or its body's.
@MainActor
public func boxes(of view: any View) -> [Box] {
  func open<V: View>(_ view: V) -> [Box] { boxes(of: view.body) }
  if let drawn = view as? any DrawnView { return drawn.boxes() }
  return open(view)
}

@resultBuilder @MainActor
public enum ViewBuilder {
  public static func buildExpression<Content: View>(_ content: Content) -> Content { content }
  public static func buildBlock() -> EmptyView { EmptyView() }
  public static func buildBlock<Content: View>(_ content: Content) -> Content { content }
  public static func buildBlock<each Content: View>(_ content: repeat each Content) -> TupleView<(repeat each Content)>
  {
    var parts: [any View] = []
    repeat parts.append(each content)
    return TupleView((repeat each content), parts: parts)
  }
  public static func buildIf<Content: View>(_ content: Content?) -> Content? { content }
  public static func buildEither<A: View, B: View>(first: A) -> ConditionalContent<A, B> { .first(first) }
  public static func buildEither<A: View, B: View>(second: B) -> ConditionalContent<A, B> { .second(second) }
  public static func buildLimitedAvailability<Content: View>(_ content: Content) -> AnyView { AnyView(content) }
}

public struct EmptyView: DrawnView {
  public init() {}
  public func boxes() -> [Box] { [] }
}

public struct TupleView<T>: DrawnView {
  public let value: T
  let parts: [any View]

  init(_ value: T, parts: [any View]) {
    (self.value, self.parts) = (value, parts)
  }

  public func boxes() -> [Box] { parts.flatMap { SwiftUI.boxes(of: $0) } }
}

public enum ConditionalContent<A: View, B: View>: DrawnView {
  case first(A)
  case second(B)

  public func boxes() -> [Box] {
    switch self {
    case .first(let view): SwiftUI.boxes(of: view)
    case .second(let view): SwiftUI.boxes(of: view)
    }
  }
}

extension Optional: View, DrawnView where Wrapped: View {
  public func boxes() -> [Box] { map { SwiftUI.boxes(of: $0) } ?? [] }
}

public struct AnyView: DrawnView {
  let content: any View
  public init(_ view: some View) { content = view }
  public func boxes() -> [Box] { SwiftUI.boxes(of: content) }
}

public struct Group<Content: View>: DrawnView {
  let content: Content
  public init(@ViewBuilder content: () -> Content) { self.content = content() }
  public func boxes() -> [Box] { SwiftUI.boxes(of: content) }
}

public struct ForEach<Data: RandomAccessCollection, ID: Hashable, Content: View>: DrawnView {
  let data: Data
  let content: (Data.Element) -> Content
  let id: KeyPath<Data.Element, ID>

  public init(_ data: Data, id: KeyPath<Data.Element, ID>, @ViewBuilder content: @escaping (Data.Element) -> Content) {
    (self.data, self.id, self.content) = (data, id, content)
  }

  public func boxes() -> [Box] {
    data.flatMap { element in
      SwiftUI.boxes(of: content(element)).map { box in
        var box = box
        box.tag = box.tag ?? AnyHashable(element[keyPath: id])
        return box
      }
    }
  }
}

extension ForEach where Data.Element: Identifiable, ID == Data.Element.ID {
  public init(_ data: Data, @ViewBuilder content: @escaping (Data.Element) -> Content) {
    self.init(data, id: \.id, content: content)
  }
}

extension ForEach {
  public func onDelete(perform action: ((IndexSet) -> Void)?) -> Self { self }
}
