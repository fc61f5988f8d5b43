import ExecuTorchRunner
import Foundation
import MobileDiffusionKit
import SampleCore
import SwiftUI

@testable import Sample

/// The screens of a studio that has drawn.
@MainActor
struct Album {
  /// What is drawn, and from which seeds.
  static let drawings: [(prompt: String, seed: UInt64)] = [
    ("mushroom", 0), ("rocket", 5), ("automobile", 3), ("cat face", 5), ("pizza", 4), ("red apple", 3),
  ]

  /// Screens in both appearances, and the keys of the texts that they asked for.
  struct Pages: Encodable, Sendable {
    var screens: [String: String] = [:]
    var keys: [String] = []
  }

  private let studio: Studio
  private let texts: [String: String]
  private let symbols: [String: String]

  init(documents: URL, texts: [String: String], symbols: [String: String]) async throws {
    (self.texts, self.symbols) = (texts, symbols)
    studio = Studio(
      folders: AppFolders(documents: documents, caches: documents), builtIn: nil,
      defaults: UserDefaults(suiteName: "preview") ?? .standard,
      open: { card in HaltingArtist(pipeline: try Self.pipeline(for: card)) },
      measure: { card, order, next in
        let report = Benchmark(try Self.pipeline(for: card), runs: order.runs)
        return try await report.report(of: DrawRequest(prompt: "a red apple, 3d", seed: 7)) { next($0.rawValue) }.json
      },
      compare: { card, _ in
        let pipeline = try Self.pipeline(for: card)
        let report = try await GoldenCheck(pipeline, runtime: try pipeline.bundle.runtime("xnnpack")).report()
        return GoldenRecord(units: [.init(runtime: "xnnpack", unit: .cpu, version: "", report: report)])
      },
      encode: { $0.png })
    studio.start(arguments: [])
    try studio.select(studio.models.find("emoji"))
    studio.draw.style = studio.models.card?.styles.first ?? ""
  }

  private nonisolated static func pipeline(for card: ModelCard) throws -> Pipeline {
    let bundle = try ModelBundle.open(card.folder)
    return try Pipeline(bundle: bundle, runner: ExecuTorchRunner(bundle: bundle))
  }

  /// Draws, times, and renders every screen.
  func pages() async throws -> Pages {
    var pages = Pages()
    render("empty", RootView(screen: .draw), to: &pages)
    for (prompt, seed) in Self.drawings {
      (studio.draw.prompt, studio.draw.seedText) = (prompt, String(seed))
      studio.drawPicture()
      await studio.draw.finish()
      if case .failed(let line) = studio.draw.phase { throw DiffusionError(line) }
    }
    render("finished", RootView(screen: .draw), to: &pages)
    if let card = studio.models.card, card.startSize != nil, let latents = card.latentSize {
      var mask = MaskGrid(size: latents)
      for place in 0...10 { mask.paint(x: 0.3 + 0.04 * Double(place), y: 0.3) }
      studio.draw.start = studio.draw.picture.map { StartPicture(picture: $0, mask: mask) }
      render("start", RootView(screen: .draw), to: &pages)
      studio.draw.start = nil
    }
    studio.draw.hints = [HintChoice(picture: studio.draw.picture, scale: 0.8), HintChoice()]
    render("hints", RootView(screen: .draw), to: &pages)
    studio.draw.hints = []
    render("history", RootView(screen: .history), to: &pages)
    let drawing = studio.history.drawings[1]
    render("detail", NavigationStack { HistoryDetail(drawing: drawing) {} }, to: &pages)
    render("models", RootView(screen: .models), to: &pages)
    render("download", DownloadForm { _ in }, to: &pages)
    studio.measureModel()
    await studio.benchmark.finish()
    if case .failed(let line) = studio.benchmark.phase { throw DiffusionError(line) }
    render("benchmark", RootView(screen: .benchmark), to: &pages)
    try await renderHalf(to: &pages)
    pages.keys = Rendering.keys.sorted()
    return pages
  }

  private func renderHalf(to pages: inout Pages) async throws {
    (studio.draw.prompt, studio.draw.seedText) = ("red heart", HaltingArtist.seedText)
    studio.drawPicture()
    while !isHalted {
      if case .failed(let line) = studio.draw.phase { throw DiffusionError(line) }
      try await Task.sleep(for: .milliseconds(5))
    }
    render("drawing", RootView(screen: .draw), to: &pages)
    studio.draw.cancel()
    await studio.draw.finish()
  }

  private var isHalted: Bool {
    guard case .drawing(let step, let steps) = studio.draw.phase else { return false }
    return Double(step) >= HaltingArtist.share * Double(steps)
  }

  private func render(_ name: String, _ view: some View, to pages: inout Pages) {
    for (scheme, title) in [(ColorScheme.light, "light"), (.dark, "dark")] {
      pages.screens["\(name)-\(title)"] = Rendering.html(
        of: view.environment(studio), texts: texts, symbols: symbols, scheme: scheme)
    }
  }
}
