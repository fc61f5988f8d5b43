import SampleCore
import SwiftUI

/// How far the drawing is, how long it took, or why there is none.
struct CanvasStatus: View {
  let phase: DrawModel.Phase
  let times: DrawTimes?
  /// The runtime that drew, by its name in the manifest.
  let runtime: String?
  let wordsUnknown: Bool
  /// Which of several pictures is drawn, and how many they are.
  let number: Int
  let count: Int

  var body: some View {
    switch phase {
    case .idle:
      EmptyView()
    case .preparing:
      note { Text("Preparing…") }
    case .drawing(let step, let steps):
      note {
        VStack(spacing: 6) {
          if count > 1 { Text("Picture \(number) of \(count)").monospacedDigit() }
          Text("Step \(step) of \(steps)").monospacedDigit()
          ProgressView(value: Double(step), total: Double(steps)).frame(width: 160)
        }
      }
      .accessibilityAddTraits(.updatesFrequently)
    case .finished:
      if let times {
        note {
          VStack(spacing: 2) {
            TimesText(times: times)
            if wordsUnknown { Text("The model knows no word of this prompt: use other words") }
            if let runtime { Text(verbatim: RuntimeTitle.of(runtime)).foregroundStyle(.secondary) }
          }
        }
      }
    case .cancelled:
      note { Text("Cancelled") }
    case .failed(let line):
      note {
        Label(line, systemImage: "exclamationmark.triangle")
          .foregroundStyle(.red)
          .multilineTextAlignment(.leading)
      }
    }
  }

  private func note(@ViewBuilder content: () -> some View) -> some View {
    content()
      .font(.footnote.weight(.medium))
      .padding(.horizontal, 14)
      .padding(.vertical, 8)
      .background(.regularMaterial, in: .rect(cornerRadius: 16))
      .padding(12)
  }
}

/// "1.9 s · 210 ms a step", in the way of the phone's language.
struct TimesText: View {
  let times: DrawTimes

  var body: some View {
    if let step = times.step {
      Text("\(seconds) · \(Milliseconds.text(step)) a step")
        .monospacedDigit()
    } else {
      Text(verbatim: seconds)
        .monospacedDigit()
    }
  }

  private var seconds: String { Milliseconds.text(times.total) }
}
