import SampleCore
import SwiftUI
import UIKit

/// All pictures that were drawn, the newest first.
struct HistoryScreen: View {
  @Environment(Studio.self) private var studio
  /// Shows the drawing screen.
  let goToDrawing: () -> Void

  private let columns = [GridItem(.adaptive(minimum: 160), spacing: 12)]

  var body: some View {
    NavigationStack {
      ScrollView {
        LazyVGrid(columns: columns, spacing: 16) {
          ForEach(studio.history.drawings) { drawing in
            NavigationLink(value: drawing) { HistoryCell(drawing: drawing) }
              .buttonStyle(.plain)
          }
        }
        .padding(.horizontal)
      }
      .overlay {
        if studio.history.drawings.isEmpty {
          ContentUnavailableView(
            "No pictures yet", systemImage: "photo.on.rectangle", description: Text("What you draw is kept here."))
        }
      }
      .navigationTitle("History")
      .navigationDestination(for: Drawing.self) { drawing in
        HistoryDetail(drawing: drawing, goToDrawing: goToDrawing)
      }
      .problem(studio.history.problem) { studio.history.problem = nil }
    }
  }
}

/// A picture in the grid.
struct HistoryCell: View {
  @Environment(Studio.self) private var studio
  let drawing: Drawing

  var body: some View {
    VStack(alignment: .leading, spacing: 6) {
      HistoryPicture(drawing: drawing)
        .clipShape(.rect(cornerRadius: 16))
      VStack(alignment: .leading, spacing: 1) {
        Text(verbatim: drawing.prompt)
          .font(.subheadline.weight(.medium))
        Text("Seed \(String(drawing.seed)) · \(drawing.model)")
          .font(.caption)
          .foregroundStyle(.secondary)
      }
      .lineLimit(1)
    }
    .accessibilityElement(children: .combine)
    .contextMenu {
      Button("Delete", systemImage: "trash", role: .destructive) { studio.history.delete(drawing) }
    }
  }
}

/// The file of a picture, as large as its place.
struct HistoryPicture: View {
  @Environment(Studio.self) private var studio
  let drawing: Drawing

  var body: some View {
    ZStack {
      Color(.secondarySystemBackground)
      if let image = UIImage(contentsOfFile: studio.history.picture(of: drawing).path) {
        Image(uiImage: image)
          .resizable()
          .interpolation(.high)
          .scaledToFit()
      }
    }
    .aspectRatio(1, contentMode: .fit)
    .accessibilityLabel("Picture of \(drawing.fullPrompt)")
  }
}
