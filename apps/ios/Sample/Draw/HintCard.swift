import MobileDiffusionKit
import PhotosUI
import SampleCore
import SwiftUI

/// The pictures that a model's ControlNets read, and how strongly each is followed.
struct HintCard: View {
  @Environment(Studio.self) private var studio
  let size: PixelSize

  var body: some View {
    @Bindable var draw = studio.draw
    VStack(alignment: .leading, spacing: 12) {
      Text("Pictures that it follows").font(.subheadline.weight(.medium))
      ForEach(draw.hints.indices, id: \.self) { place in
        HintRow(choice: $draw.hints[place], place: place, count: draw.hints.count, size: size)
      }
    }
    .padding(14)
    .background(Color(.secondarySystemBackground), in: .rect(cornerRadius: 14))
    .disabled(draw.isDrawing)
  }
}

/// One ControlNet's.
private struct HintRow: View {
  @Binding var choice: HintChoice
  let place: Int
  let count: Int
  let size: PixelSize
  @State private var item: PhotosPickerItem?
  @State private var problem: String?
  private static let side = 56.0

  private var number: String { choice.scale.formatted(.number.precision(.fractionLength(2))) }

  var body: some View {
    VStack(alignment: .leading, spacing: 8) {
      HStack(spacing: 12) {
        if let picture = choice.picture {
          PictureImage(picture: picture)
            .frame(width: Self.side, height: Self.side)
            .clipShape(.rect(cornerRadius: 8))
        }
        PhotosPicker(selection: $item, matching: .images) {
          Label("Picture \(place + 1) of \(count)", systemImage: "photo.on.rectangle")
        }
        Spacer()
        Text(verbatim: number).monospacedDigit().foregroundStyle(.secondary).accessibilityHidden(true)
      }
      Slider(value: $choice.scale, in: 0...Hint.maxScale, step: 0.05) { Text("Strength") }
        .accessibilityValue(number)
      if let problem { Text(verbatim: problem).font(.footnote).foregroundStyle(.red) }
    }
    .onChange(of: item) {
      guard let item else { return }
      Task { await take(item) }
    }
  }

  private func take(_ item: PhotosPickerItem) async {
    do {
      problem = nil
      choice.picture = try await Picture(item, size: size)
    } catch {
      problem = DiffusionError.line(of: error)
    }
  }
}
