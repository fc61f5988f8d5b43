import SampleCore
import SwiftUI

/// One picture, and all that is needed to draw it again.
struct HistoryDetail: View {
  @Environment(Studio.self) private var studio
  @Environment(\.dismiss) private var dismiss
  let drawing: Drawing
  /// Shows the drawing screen.
  let goToDrawing: () -> Void
  @State private var isDeleting = false

  var body: some View {
    List {
      Section {
        HistoryPicture(drawing: drawing)
          .clipShape(.rect(cornerRadius: 20))
          .listRowInsets(EdgeInsets())
          .listRowBackground(Color.clear)
      }
      Section {
        LabeledContent("Prompt", value: drawing.fullPrompt)
        LabeledContent("Seed", value: String(drawing.seed))
        if let guidance = drawing.guidance {
          LabeledContent("Guidance", value: guidance.formatted(.number.precision(.fractionLength(1))))
        }
        LabeledContent("Model", value: drawing.model)
        if let runtime = drawing.runtime {
          LabeledContent("Runtime", value: RuntimeTitle.of(runtime))
        }
        LabeledContent("Time", value: Milliseconds.text(drawing.milliseconds))
        LabeledContent("Drawn", value: drawing.date.formatted(date: .abbreviated, time: .shortened))
      }
      Section {
        Button("Use prompt and seed", systemImage: "arrow.uturn.backward") {
          studio.draw.reuse(drawing)
          goToDrawing()
        }
        Button("Delete picture", systemImage: "trash", role: .destructive) { isDeleting = true }
      }
    }
    .navigationTitle(drawing.prompt)
    .navigationBarTitleDisplayMode(.inline)
    .toolbar {
      ToolbarItem(placement: .topBarTrailing) {
        HStack(spacing: 16) {
          SaveButton(file: studio.history.picture(of: drawing))
          SharePicture(drawing: drawing, file: studio.history.picture(of: drawing))
        }
      }
    }
    .confirmationDialog("Delete this picture for good?", isPresented: $isDeleting, titleVisibility: .visible) {
      Button("Delete", role: .destructive) {
        studio.history.delete(drawing)
        dismiss()
      }
    }
  }
}
