import MobileDiffusionKit
import PhotosUI
import SampleCore
import SwiftUI

/// The picture to start from: choose it, paint what of it is drawn anew, give it up.
struct StartCard: View {
  @Environment(Studio.self) private var studio
  let size: PixelSize
  let latents: PixelSize
  @State private var item: PhotosPickerItem?
  @State private var problem: String?

  var body: some View {
    VStack(alignment: .leading, spacing: 12) {
      HStack {
        PhotosPicker(selection: $item, matching: .images) {
          Label("Start from a picture", systemImage: "photo.on.rectangle")
        }
        Spacer()
        if studio.draw.start != nil {
          Button {
            (studio.draw.start, item) = (nil, nil)
          } label: {
            Image(systemName: "trash")
          }
          .accessibilityLabel("Start from noise")
        }
      }
      if let problem { Text(verbatim: problem).font(.footnote).foregroundStyle(.red) }
      if let start = studio.draw.start { MaskRow(start: start) }
    }
    .padding(14)
    .background(Color(.secondarySystemBackground), in: .rect(cornerRadius: 14))
    .disabled(studio.draw.isDrawing)
    .onChange(of: item) {
      guard let item else { return }
      Task { await take(item) }
    }
  }

  private func take(_ item: PhotosPickerItem) async {
    do {
      problem = nil
      studio.draw.start = StartPicture(picture: try await Picture(item, size: size), mask: MaskGrid(size: latents))
    } catch {
      problem = DiffusionError.line(of: error)
    }
  }
}

/// The picture under a finger that paints, and how much of the picture is drawn.
private struct MaskRow: View {
  @Environment(Studio.self) private var studio
  let start: StartPicture
  private static let side = 150.0

  private var height: Double { Self.side * Double(start.picture.height) / Double(start.picture.width) }

  var body: some View {
    @Bindable var draw = studio.draw
    HStack(alignment: .top, spacing: 12) {
      PictureImage(picture: start.shown)
        .frame(width: Self.side, height: height)
        .clipShape(.rect(cornerRadius: 12))
        .gesture(
          DragGesture(minimumDistance: 0).onChanged { touch in
            draw.start?.mask.paint(x: touch.location.x / Self.side, y: touch.location.y / height)
          })
      VStack(alignment: .leading, spacing: 8) {
        Text("Strength")
        Slider(value: $draw.strength, in: 0.1...1, step: 0.05) { Text("Strength") }
        Text("Paint what is drawn anew; without paint it is all of the picture")
          .font(.footnote)
          .foregroundStyle(.secondary)
        Button("Clear paint") { draw.start?.mask.clear() }
      }
    }
  }
}
