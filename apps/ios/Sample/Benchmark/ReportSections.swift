import SampleCore
import SwiftUI

/// The times of a report, and the machine that they are of.
struct ReportSections: View {
  let report: BenchmarkReport
  /// Steps of a picture, for its sum; nil when the model is not known.
  let steps: Int?

  var body: some View {
    ForEach(report.runners, id: \.runner) { runner in
      Section {
        ForEach(runner.stages) { stage in
          StageRow(stage: stage, longest: runner.stages.map(\.median).max() ?? 1)
        }
        if let steps, let picture = report.picture(steps: steps) {
          LabeledContent("Picture of \(steps) steps", value: Milliseconds.text(picture))
            .font(.headline)
        }
      } header: {
        Text("Median of \(runner.stages.first?.runs ?? 0) runs")
      }
    }
    Section("Device") {
      LabeledContent("Processor", value: report.conditions.processor)
      LabeledContent("Cores", value: String(report.conditions.cores))
      LabeledContent("System", value: report.conditions.system)
      ForEach(report.runners, id: \.runner) { runner in
        LabeledContent("Runtime", value: "\(runner.runner) \(runner.version)")
      }
    }
  }
}

/// The median of a stage as a bar, and the quartiles around it.
private struct StageRow: View {
  let stage: BenchmarkReport.Stage
  let longest: Double

  var body: some View {
    VStack(alignment: .leading, spacing: 6) {
      HStack {
        Text(title)
        Spacer()
        Text(verbatim: Milliseconds.text(stage.median))
          .monospacedDigit()
          .fontWeight(.semibold)
      }
      Rectangle()
        .fill(.tint)
        .scaleEffect(x: max(stage.median / longest, 0.01), anchor: .leading)
        .frame(height: 8)
        .background(.quaternary)
        .clipShape(.capsule)
        .accessibilityHidden(true)
      Text("Half of the runs took \(first) to \(third)")
        .font(.caption)
        .monospacedDigit()
        .foregroundStyle(.secondary)
    }
    .accessibilityElement(children: .combine)
  }

  private var first: String { Milliseconds.text(stage.firstQuartile) }
  private var third: String { Milliseconds.text(stage.thirdQuartile) }

  private var title: LocalizedStringKey {
    switch stage.stage {
    case "encode_text": "Text"
    case "denoise": "One step"
    case "decode_image": "Picture"
    default: "\(stage.stage)"
    }
  }
}
