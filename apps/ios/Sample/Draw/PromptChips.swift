import MobileDiffusionKit
import SampleCore
import SwiftUI

/// The styles of a model, and how the prompt writes weights.
struct PromptChips: View {
  @Environment(Studio.self) private var studio

  var body: some View {
    @Bindable var draw = studio.draw
    let styles = studio.models.card?.styles ?? []
    if !styles.isEmpty {
      let titles = [("", Text("No style"))] + styles.map { ($0, Text(verbatim: $0)) }
      Chips(chosen: $draw.style, choices: titles, name: "Style")
    }
    let syntaxes = PromptSyntax.allCases.map { ($0.id, $0.title) }
    Chips(chosen: $draw.syntax.id, choices: syntaxes, name: "Weights in the prompt")
  }
}

extension PromptSyntax {
  /// Its raw value; an unknown one is passed over.
  fileprivate var id: String {
    get { rawValue }
    set { self = PromptSyntax(rawValue: newValue) ?? self }
  }

  @MainActor fileprivate var title: Text {
    switch self {
    case .plain: Text("No weights")
    case .a1111: Text(verbatim: "(word:1.3)")
    case .compel: Text(verbatim: "word++")
    }
  }
}
