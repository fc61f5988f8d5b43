import Foundation
import UniformTypeIdentifiers

extension View {
  public func sheet<Content: View>(
    isPresented: Binding<Bool>, onDismiss: (() -> Void)? = nil, @ViewBuilder content: @escaping () -> Content
  ) -> some View {
    changed { boxes in
      if isPresented.wrappedValue { present(content()) }
      return boxes
    }
  }
  public func sheet<Item: Identifiable, Content: View>(
    item: Binding<Item?>, onDismiss: (() -> Void)? = nil, @ViewBuilder content: @escaping (Item) -> Content
  ) -> some View {
    changed { boxes in
      if let item = item.wrappedValue { present(content(item)) }
      return boxes
    }
  }
  public func alert<A: View, M: View>(
    _ title: LocalizedStringKey, isPresented: Binding<Bool>, @ViewBuilder actions: () -> A,
    @ViewBuilder message: () -> M
  ) -> some View { self }
  public func confirmationDialog<A: View, M: View>(
    _ title: LocalizedStringKey, isPresented: Binding<Bool>, titleVisibility: Visibility = .automatic,
    @ViewBuilder actions: () -> A, @ViewBuilder message: () -> M
  ) -> some View { self }
  public func confirmationDialog<A: View>(
    _ title: LocalizedStringKey, isPresented: Binding<Bool>, titleVisibility: Visibility = .automatic,
    @ViewBuilder actions: () -> A
  ) -> some View { self }
  public func fileImporter(
    isPresented: Binding<Bool>, allowedContentTypes: [UTType],
    onCompletion: @escaping (_ result: Result<URL, any Error>) -> Void
  ) -> some View { self }
  public func presentationDetents(_ detents: Set<PresentationDetent>) -> some View { self }
  public func interactiveDismissDisabled(_ isDisabled: Bool = true) -> some View { self }
}

@MainActor
private func present(_ content: some View) {
  Rendering.presented.append(Box(.column, boxes(of: content), classes: ["sheet"]))
}

public struct PresentationDetent: Hashable, Sendable {
  public static let medium = PresentationDetent(), large = PresentationDetent()
}

public protocol Transferable {}
extension URL: Transferable {}
extension Data: Transferable {}
extension String: Transferable {}

public struct SharePreview {
  public init(_ title: LocalizedStringKey, image: Image) {}
  @_disfavoredOverload
  public init<S: StringProtocol>(_ title: S, image: Image) {}
  @_disfavoredOverload
  public init<S: StringProtocol>(_ title: S) {}
}

public struct ShareLink<Label: View>: DrawnView {
  let label: Label

  public init<T: Transferable>(item: T, preview: SharePreview, @ViewBuilder label: () -> Label) { self.label = label() }
  public func boxes() -> [Box] { [drawButton(SwiftUI.boxes(of: label))] }
}

extension ShareLink where Label == SwiftUI.Label {
  /// The words are the system's own, in its language: the app does not translate them.
  public init(item: URL) { label = SwiftUI.Label(String("Share…"), systemImage: "square.and.arrow.up") }
}

extension ShareLink {
  public init(item: URL, @ViewBuilder label: () -> Label) { self.label = label() }
}
