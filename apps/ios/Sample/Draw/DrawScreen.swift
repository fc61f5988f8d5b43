import SampleCore
import SwiftUI

/// Prompt, style and seed in; the picture out, step by step.
struct DrawScreen: View {
  @Environment(Studio.self) private var studio
  @FocusState private var isTyping: Bool

  var body: some View {
    @Bindable var draw = studio.draw
    NavigationStack {
      ScrollView {
        VStack(alignment: .leading, spacing: 16) {
          PictureCanvas()
          PromptField(prompt: $draw.prompt, isTyping: $isTyping)
          PromptChips()
          if let size = studio.models.card?.pictureSize, !draw.hints.isEmpty {
            HintCard(size: size)
          }
          if let card = studio.models.card, let size = card.startSize, let latents = card.latentSize {
            StartCard(size: size, latents: latents)
          }
          SettingsCard()
        }
        .padding(.horizontal)
        .padding(.bottom, 12)
      }
      .scrollDismissesKeyboard(.interactively)
      .safeAreaInset(edge: .bottom) {
        DrawButton { isTyping = false }
      }
      .navigationTitle(studio.models.card.map { Text(verbatim: $0.title) } ?? Text("Draw"))
      .navigationBarTitleDisplayMode(.inline)
      .toolbar {
        ToolbarItem(placement: .topBarTrailing) { PictureActions() }
      }
    }
  }
}
