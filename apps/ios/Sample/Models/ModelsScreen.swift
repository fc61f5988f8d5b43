import SampleCore
import SwiftUI
import UniformTypeIdentifiers

/// The models on this device, and how more come to it.
struct ModelsScreen: View {
  @Environment(Studio.self) private var studio
  @State private var isChoosing = false
  @State private var isDownloading = false

  private var models: ModelsModel { studio.models }

  var body: some View {
    NavigationStack {
      List {
        Section {
          ForEach(models.cards) { card in
            ModelRow(card: card, isChosen: card == models.card) { studio.select(card) }
              .swipeActions {
                if !card.isBuiltIn {
                  Button("Delete", systemImage: "trash", role: .destructive) { models.delete(card) }
                }
              }
          }
        } header: {
          Text("On this device")
        } footer: {
          if models.cards.isEmpty { Text("No model yet: add one below.") }
        }
        if let progress = models.progress {
          Section { ProgressRow(progress: progress, cancel: models.cancel) }
        }
        BrokenModels()
        Section {
          Button("Choose a folder in Files", systemImage: "folder") { isChoosing = true }
          Button("Download", systemImage: "arrow.down.circle") { isDownloading = true }
        } header: {
          Text("Add a model")
        } footer: {
          Text(
            "A model is the folder that the exporter writes. Every file is checked against the hash in its manifest.")
        }
        .disabled(models.isBusy)
      }
      .navigationTitle("Models")
      .fileImporter(isPresented: $isChoosing, allowedContentTypes: [.folder]) { result in
        if case .success(let folder) = result { models.add(folder: folder) }
      }
      .sheet(isPresented: $isDownloading) {
        DownloadForm { models.download(from: $0) }
      }
      .problem(models.problem) { models.problem = nil }
    }
  }
}

/// A download or copy that is under way.
private struct ProgressRow: View {
  let progress: ModelsModel.Progress
  let cancel: @MainActor () -> Void

  var body: some View {
    VStack(alignment: .leading, spacing: 8) {
      HStack {
        Text("Adding a model…")
        Spacer()
        Button("Cancel", action: cancel)
          .buttonStyle(.borderless)
      }
      ProgressView(value: progress.fraction)
      if progress.whole > 0 {
        Text("\(Bytes.text(progress.bytes)) of \(Bytes.text(progress.whole))")
          .font(.caption)
          .monospacedDigit()
          .foregroundStyle(.secondary)
      }
    }
  }
}

/// Folders that were meant to be models.
private struct BrokenModels: View {
  @Environment(Studio.self) private var studio

  var body: some View {
    if !studio.models.broken.isEmpty {
      Section("Not usable") {
        ForEach(studio.models.broken) { other in
          VStack(alignment: .leading, spacing: 4) {
            Label(other.id, systemImage: "exclamationmark.triangle")
            Text(verbatim: other.line)
              .font(.caption)
              .foregroundStyle(.secondary)
          }
          .swipeActions {
            Button("Delete", systemImage: "trash", role: .destructive) { studio.models.delete(other) }
          }
        }
      }
    }
  }
}
