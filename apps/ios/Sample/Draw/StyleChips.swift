import SwiftUI

/// The styles of a model, and none before them.
struct StyleChips: View {
  @Binding var style: String
  let styles: [String]

  /// The chosen style; none when it is another model's.
  private var chosen: String { styles.contains(style) ? style : "" }

  var body: some View {
    ScrollView(.horizontal) {
      HStack(spacing: 8) {
        ForEach([""] + styles, id: \.self) { choice in
          chip(choice)
        }
      }
    }
    .scrollIndicators(.hidden)
    .scrollClipDisabled()
    .sensoryFeedback(.selection, trigger: style)
    .accessibilityElement(children: .contain)
    .accessibilityLabel("Style")
  }

  private func chip(_ choice: String) -> some View {
    let isChosen = choice == chosen
    return Button {
      style = choice
    } label: {
      (choice.isEmpty ? Text("No style") : Text(verbatim: choice))
        .font(.subheadline.weight(.medium))
        .padding(.horizontal, 14)
        .padding(.vertical, 8)
        .foregroundStyle(isChosen ? AnyShapeStyle(.white) : AnyShapeStyle(.primary))
        .background(isChosen ? AnyShapeStyle(.tint) : AnyShapeStyle(Color(.secondarySystemBackground)), in: .capsule)
    }
    .buttonStyle(.plain)
    .accessibilityAddTraits(isChosen ? .isSelected : [])
  }
}
