import SwiftUI

/// Where the prompt is typed.
struct PromptField: View {
  @Binding var prompt: String
  var isTyping: FocusState<Bool>.Binding

  var body: some View {
    HStack(spacing: 8) {
      TextField("What shall be drawn?", text: $prompt, axis: .vertical)
        .lineLimit(1...3)
        .focused(isTyping)
        .submitLabel(.done)
        .accessibilityLabel("Prompt")
      if !prompt.isEmpty {
        Button {
          prompt = ""
        } label: {
          Image(systemName: "xmark.circle.fill").foregroundStyle(.tertiary)
        }
        .buttonStyle(.plain)
        .accessibilityLabel("Clear prompt")
      }
    }
    .padding(.horizontal, 14)
    .padding(.vertical, 12)
    .background(Color(.secondarySystemBackground), in: .rect(cornerRadius: 14))
  }
}
