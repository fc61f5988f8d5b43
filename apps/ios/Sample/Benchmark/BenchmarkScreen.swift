import MobileDiffusionKit
import SampleCore
import SwiftUI

/// Times every stage of the model that draws.
struct BenchmarkScreen: View {
  @Environment(Studio.self) private var studio

  private var benchmark: BenchmarkModel { studio.benchmark }

  var body: some View {
    NavigationStack {
      List {
        BenchmarkSettings()
        Section {
          StartButton()
        } footer: {
          status
        }
        if let record = benchmark.record {
          Section("Distance from PyTorch") {
            ForEach(record.units, id: \.unit) { UnitRow(unit: $0) }
          }
        }
        if let report = benchmark.report {
          ReportSections(report: report, steps: studio.models.card?.steps)
        }
      }
      .navigationTitle("Benchmark")
      .toolbar {
        ToolbarItem(placement: .topBarTrailing) {
          if let file = benchmark.file {
            ShareLink(item: file)
          }
        }
      }
    }
  }

  @ViewBuilder private var status: some View {
    switch benchmark.phase {
    case .idle: Text("Two runs of each stage warm up and are not counted.")
    case .measuring(let stage): Text("Timing \(stage ?? "…")")
    case .comparing(let unit): Text("Comparing \(unit ?? "…")")
    case .compared: Text("Shared reports have every distance from PyTorch.")
    case .finished: Text("Shared reports have the form of latency.json.")
    case .cancelled: Text("Cancelled")
    case .failed(let line): Text(verbatim: line).foregroundStyle(.red)
    }
  }
}

/// Which model, and how often.
private struct BenchmarkSettings: View {
  @Environment(Studio.self) private var studio

  var body: some View {
    @Bindable var benchmark = studio.benchmark
    Section {
      LabeledContent("Model", value: studio.models.card?.id ?? "–")
      Stepper(value: $benchmark.runs, in: 1...100) { Text("\(benchmark.runs) runs of each stage") }
    }
    .disabled(benchmark.isMeasuring)
  }
}

/// Begins a benchmark, or ends it.
private struct StartButton: View {
  @Environment(Studio.self) private var studio

  var body: some View {
    if studio.benchmark.isMeasuring {
      HStack {
        Button("Cancel", systemImage: "stop.fill", role: .cancel, action: studio.benchmark.cancel)
        Spacer()
        ProgressView()
      }
    } else {
      Button("Start", systemImage: "play.fill", action: studio.measureModel)
        .disabled(studio.models.card == nil)
      Button("Compare with PyTorch", systemImage: "checkmark.seal", action: studio.compareModel)
        .disabled(studio.models.card == nil)
    }
  }
}

/// What a comparison on one unit gave.
private struct UnitRow: View {
  let unit: GoldenRecord.Unit

  var body: some View {
    LabeledContent {
      Text(verbatim: unit.report.map { "\($0.worstText) \(unit.isPassed ? "✓" : "✗")" } ?? unit.error)
    } label: {
      Text(verbatim: "\(unit.runtime) \(unit.unit.rawValue)")
    }
  }
}
