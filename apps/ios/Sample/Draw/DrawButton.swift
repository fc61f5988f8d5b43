import SampleCore
import SwiftUI

/// Begins a drawing, or ends it.
struct DrawButton: View {
  @Environment(Studio.self) private var studio
  /// Called before a drawing begins.
  let prepare: () -> Void

  var body: some View {
    Group {
      if studio.draw.isDrawing {
        Button(role: .cancel, action: studio.draw.cancel) { label("Cancel", symbol: "stop.fill") }
          .buttonStyle(.bordered)
      } else {
        Button {
          prepare()
          studio.drawPicture()
        } label: {
          label("Draw", symbol: "sparkles")
        }
        .buttonStyle(.borderedProminent)
        .disabled(!studio.draw.canDraw || studio.models.card == nil)
      }
    }
    .buttonBorderShape(.capsule)
    .controlSize(.large)
    .padding(.horizontal)
    .padding(.vertical, 8)
    .background(.bar)
  }

  private func label(_ title: LocalizedStringKey, symbol: String) -> some View {
    Label(title, systemImage: symbol)
      .font(.headline)
      .frame(maxWidth: .infinity)
  }
}
