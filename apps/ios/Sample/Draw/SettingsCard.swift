import SampleCore
import SwiftUI

/// Seed, for models that take one the scale of guidance, and the number of pictures.
struct SettingsCard: View {
  @Environment(Studio.self) private var studio

  var body: some View {
    @Bindable var draw = studio.draw
    VStack(spacing: 0) {
      SeedRow(text: $draw.seedText, isValid: draw.seed != nil, roll: draw.rollDice)
      if studio.models.card?.guidance != nil {
        Divider()
        GuidanceRow(guidance: $draw.guidance)
      }
      Divider()
      Stepper(value: $draw.pictures, in: 1...DrawModel.most) { Text("Pictures: \(draw.pictures)") }
        .frame(minHeight: 48)
    }
    .padding(.horizontal, 14)
    .background(Color(.secondarySystemBackground), in: .rect(cornerRadius: 14))
    .disabled(draw.isDrawing)
  }
}

/// The same seed gives the same picture everywhere.
private struct SeedRow: View {
  @Binding var text: String
  let isValid: Bool
  let roll: @MainActor () -> Void

  var body: some View {
    HStack(spacing: 12) {
      Text("Seed")
      TextField("Seed", text: $text)
        .keyboardType(.asciiCapableNumberPad)
        .multilineTextAlignment(.trailing)
        .monospacedDigit()
        .foregroundStyle(isValid ? AnyShapeStyle(.secondary) : AnyShapeStyle(.red))
      Button(action: roll) {
        Image(systemName: "dice").imageScale(.large)
      }
      .accessibilityLabel("Another seed")
    }
    .frame(minHeight: 48)
  }
}

/// How closely the picture follows the prompt; 1 is no guidance.
private struct GuidanceRow: View {
  @Binding var guidance: Double

  private var number: String { guidance.formatted(.number.precision(.fractionLength(1))) }

  var body: some View {
    HStack(spacing: 12) {
      Text("Guidance")
      Slider(value: $guidance, in: 1...15, step: 0.5) { Text("Guidance") }
        .accessibilityValue(number)
      Text(verbatim: number)
        .monospacedDigit()
        .foregroundStyle(.secondary)
        .accessibilityHidden(true)
    }
    .frame(minHeight: 48)
  }
}
