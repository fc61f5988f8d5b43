import Foundation

/// The one thing here that SwiftUI has not: it turns a view into the inside of a page.
@MainActor
public enum Rendering {
  /// What views read with `@Environment`; it changes while a tree is walked.
  static var environment = EnvironmentValues()
  /// The navigation bar that is being filled.
  static var bar = NavigationBar()
  /// Sheets and alerts that are open.
  static var presented: [Box] = []
  /// Texts of the language that is shown, by their keys.
  static var texts: [String: String] = [:]
  /// Keys that were asked for.
  public private(set) static var keys: Set<String> = []
  /// Files of symbols by their names.
  static var symbols: [String: String] = [:]

  /// Renders a screen with the texts of a language.
  public static func html(
    of view: some View, texts: [String: String], symbols: [String: String], scheme: ColorScheme
  ) -> String {
    (self.texts, self.symbols, presented, bar) = (texts, symbols, [], NavigationBar())
    environment = EnvironmentValues()
    environment.colorScheme = scheme
    let screen = boxes(of: view).map { $0.html() }.joined()
    return screen + presented.map { $0.html() }.joined()
  }

  static func text(for key: String) -> String {
    keys.insert(key)
    return texts[key] ?? key
  }
}

/// A view whose boxes are another view's, changed.
struct Changed<Content: View>: DrawnView {
  let content: Content
  let change: @MainActor ([Box]) -> [Box]

  func boxes() -> [Box] { change(SwiftUI.boxes(of: content)) }
}

/// A view in an environment that is changed for it alone.
struct Surrounded<Content: View>: DrawnView {
  let content: Content
  let change: @MainActor (inout EnvironmentValues) -> Void

  func boxes() -> [Box] {
    let before = Rendering.environment
    defer { Rendering.environment = before }
    change(&Rendering.environment)
    return SwiftUI.boxes(of: content)
  }
}

extension View {
  func changed(_ change: @escaping @MainActor ([Box]) -> [Box]) -> some View { Changed(content: self, change: change) }

  func each(_ change: @escaping @MainActor (Box) -> Box) -> some View { changed { $0.map(change) } }

  func wrapped(_ style: String, classes: [String] = []) -> some View {
    each { $0.wrapped(style, classes: classes) }
  }

  func surrounded(_ change: @escaping @MainActor (inout EnvironmentValues) -> Void) -> some View {
    Surrounded(content: self, change: change)
  }
}

@MainActor @preconcurrency
public protocol ViewModifier {
  associatedtype Body: View
  typealias Content = ModifierContent
  @ViewBuilder func body(content: Content) -> Body
}

/// The view that a modifier changes.
public struct ModifierContent: DrawnView {
  let content: any View
  public func boxes() -> [Box] { SwiftUI.boxes(of: content) }
}

extension View {
  public func modifier<M: ViewModifier>(_ modifier: M) -> some View {
    modifier.body(content: ModifierContent(content: self))
  }
}
