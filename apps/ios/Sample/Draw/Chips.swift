import SwiftUI

/// A row of values of which one is chosen: the first, where none of them is.
struct Chips: View {
  @Binding var chosen: String
  let choices: [(value: String, title: Text)]
  let name: LocalizedStringKey

  var body: some View {
    ScrollView(.horizontal) {
      HStack(spacing: 8) {
        ForEach(choices, id: \.value) { choice in
          chip(choice.value, choice.title)
        }
      }
    }
    .scrollIndicators(.hidden)
    .scrollClipDisabled()
    .sensoryFeedback(.selection, trigger: chosen)
    .accessibilityElement(children: .contain)
    .accessibilityLabel(name)
  }

  private var shown: String? {
    choices.contains { $0.value == chosen } ? chosen : choices.first?.value
  }

  private func chip(_ value: String, _ title: Text) -> some View {
    let isChosen = value == shown
    return Button {
      chosen = value
    } label: {
      title
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
