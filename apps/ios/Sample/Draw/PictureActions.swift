import SampleCore
import SwiftUI
import UIKit

/// Shares the picture that was drawn last, or puts it among the phone's photos.
struct PictureActions: View {
  @Environment(Studio.self) private var studio

  var body: some View {
    if let drawing = studio.draw.drawing, !studio.draw.isDrawing {
      HStack(spacing: 16) {
        SaveButton(file: studio.history.picture(of: drawing))
        SharePicture(drawing: drawing, file: studio.history.picture(of: drawing))
      }
    }
  }
}

/// Puts a picture among the phone's photos, and shows that it is there.
struct SaveButton: View {
  let file: URL
  @State private var isSaved = false

  var body: some View {
    Button {
      guard let image = UIImage(contentsOfFile: file.path) else { return }
      UIImageWriteToSavedPhotosAlbum(image, nil, nil, nil)
      isSaved = true
    } label: {
      Label("Save to Photos", systemImage: isSaved ? "checkmark.circle" : "square.and.arrow.down")
    }
    .sensoryFeedback(.success, trigger: isSaved)
    .onChange(of: file) { isSaved = false }
  }
}

/// The system's sheet for a picture.
struct SharePicture: View {
  let drawing: Drawing
  let file: URL

  var body: some View {
    if let image = UIImage(contentsOfFile: file.path) {
      ShareLink(item: file, preview: SharePreview(drawing.fullPrompt, image: Image(uiImage: image))) {
        Label("Share", systemImage: "square.and.arrow.up")
      }
    }
  }
}
