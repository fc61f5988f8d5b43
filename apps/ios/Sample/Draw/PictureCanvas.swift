import MobileDiffusionKit
import SampleCore
import SwiftUI

/// The picture, or the latents while they clear, or what to do first.
struct PictureCanvas: View {
  @Environment(Studio.self) private var studio

  private var draw: DrawModel { studio.draw }
  private var shown: Picture? { draw.isDrawing ? draw.preview : draw.picture }

  var body: some View {
    ZStack {
      Color(.secondarySystemBackground)
      if let shown {
        PictureImage(picture: shown)
      } else {
        placeholder
      }
    }
    .aspectRatio(1, contentMode: .fit)
    .clipShape(.rect(cornerRadius: 24))
    .overlay(alignment: .bottom) { status }
    .animation(.smooth, value: draw.phase)
    .accessibilityElement(children: .combine)
    .accessibilityLabel(description)
  }

  private var status: some View {
    CanvasStatus(
      phase: draw.phase, times: draw.times, runtime: draw.drawing?.runtime, wordsUnknown: draw.wordsUnknown,
      number: draw.number, count: draw.pictures)
  }

  @ViewBuilder private var placeholder: some View {
    if draw.isDrawing {
      ProgressView()
    } else {
      VStack(spacing: 12) {
        Image(systemName: "paintbrush.pointed")
          .font(.largeTitle)
          .foregroundStyle(.tint)
        Text("Describe a picture, then tap Draw.")
          .font(.subheadline)
          .foregroundStyle(.secondary)
          .multilineTextAlignment(.center)
      }
      .padding()
    }
  }

  private var description: Text {
    if draw.isDrawing { return Text("The picture is being drawn") }
    guard let drawing = draw.drawing else { return Text("No picture yet") }
    return Text("Picture of \(drawing.fullPrompt)")
  }
}
