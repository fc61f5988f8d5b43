import SampleCore
import SwiftUI

/// The endings that a prompt can have.
struct StyleChips: View {
  @Binding var style: PromptStyle

  var body: some View {
    ScrollView(.horizontal) {
      HStack(spacing: 8) {
        ForEach(PromptStyle.allCases) { choice in
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

  private func chip(_ choice: PromptStyle) -> some View {
    let isChosen = choice == style
    return Button {
      style = choice
    } label: {
      Text(choice.title)
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

extension PromptStyle {
  /// What a chip says.
  var title: LocalizedStringKey {
    switch self {
    case .plain: "No style"
    case .threeD: "3D"
    case .fluent: "Fluent"
    case .flat: "Flat"
    case .noto: "Noto"
    }
  }
}
