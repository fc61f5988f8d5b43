import SwiftUI

extension View {
  /// Shows a line that says what went wrong, until it is read.
  func problem(_ line: String?, dismiss: @escaping @MainActor () -> Void) -> some View {
    modifier(ProblemAlert(line: line, dismiss: dismiss))
  }
}

private struct ProblemAlert: ViewModifier {
  let line: String?
  let dismiss: @MainActor () -> Void
  @State private var isShown = false

  func body(content: Content) -> some View {
    content
      .onChange(of: line, initial: true) { isShown = line != nil }
      .alert("That did not work", isPresented: $isShown) {
        Button("OK", role: .cancel, action: dismiss)
      } message: {
        Text(verbatim: line ?? "")
      }
  }
}
