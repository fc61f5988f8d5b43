import SampleCore
import SwiftUI

/// A model, and whether it is the one that draws.
struct ModelRow: View {
  let card: ModelCard
  let isChosen: Bool
  let choose: @MainActor () -> Void

  var body: some View {
    Button(action: choose) {
      HStack(spacing: 12) {
        VStack(alignment: .leading, spacing: 2) {
          Text(verbatim: card.id)
            .font(.headline)
            .foregroundStyle(.primary)
          Text("\(RuntimeTitle.of(card.runtime)) · \(card.precision) · \(card.steps) steps")
            .font(.subheadline)
            .foregroundStyle(.secondary)
          Text("\(Bytes.text(card.bytes)) · \(card.licence)")
            .font(.caption)
            .foregroundStyle(.secondary)
        }
        Spacer()
        if isChosen {
          Image(systemName: "checkmark.circle.fill")
            .imageScale(.large)
            .foregroundStyle(.tint)
        }
      }
    }
    .buttonStyle(.plain)
    .accessibilityElement(children: .combine)
    .accessibilityAddTraits(isChosen ? [.isButton, .isSelected] : .isButton)
    .accessibilityHint("Draws with this model")
  }
}

/// Sizes of files.
enum Bytes {
  /// "103 MB", in the way of the phone's language.
  static func text(_ bytes: Int64) -> String {
    bytes.formatted(.byteCount(style: .file))
  }
}
