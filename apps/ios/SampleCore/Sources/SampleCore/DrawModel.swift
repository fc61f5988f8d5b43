import Foundation
import MobileDiffusionKit
import Observation

/// What the drawing screen shows, and what its buttons do.
@MainActor @Observable
public final class DrawModel {
  /// Where a drawing is.
  public enum Phase: Equatable, Sendable {
    case idle
    /// The model is being opened, or a stage loaded.
    case preparing
    /// `step` of `steps` have been taken.
    case drawing(step: Int, steps: Int)
    case finished
    case cancelled
    /// One line that says what was wrong.
    case failed(String)
  }

  public var prompt = ""
  /// One of the model's styles, or ""; another model's is passed over.
  public var style = ""
  /// The seed as it is typed; `seed` is what it means.
  public var seedText = String(Seed.random())
  /// Scale of guidance, up to 30; read only for models that take one.
  public var guidance = 3.0
  /// How many are drawn, with this seed and the following ones: 1 to `most`.
  public var pictures = 1
  public static let most = 16
  /// The picture to start from; nil starts from noise. Models that take none pass it over.
  public var start: StartPicture?
  /// Share of the steps that are made of it, above 0 to 1.
  public var strength = 0.8

  /// How the prompt writes weights.
  public var syntax = PromptSyntax.plain
  /// One for each ControlNet of the model, in their order.
  public var hints: [HintChoice] = []

  public private(set) var phase = Phase.idle
  /// Which of several pictures is drawn, from 1.
  public private(set) var number = 1
  /// The latents as a small picture while they clear; nil when the model cannot show them.
  public private(set) var preview: Picture?
  /// The last picture that was finished.
  public private(set) var picture: Picture?
  /// What `picture` was drawn from.
  public private(set) var drawing: Drawing?
  /// Whether the model knows no word of the prompt of this drawing, without its style.
  public private(set) var wordsUnknown = false
  /// Where the time of `picture` went.
  public private(set) var times: DrawTimes?

  @ObservationIgnored private var task: Task<Void, Never>?

  public init() {}

  /// The number in the seed's field; nil while it is none.
  public var seed: UInt64? { Seed.read(seedText) }

  /// Whether a drawing is under way.
  public var isDrawing: Bool {
    switch phase {
    case .preparing, .drawing: true
    case .idle, .finished, .cancelled, .failed: false
    }
  }

  /// Whether there is something to draw.
  public var canDraw: Bool { !isDrawing && seed != nil && !prompt.isEmpty }

  /// Another seed.
  public func rollDice() {
    seedText = String(Seed.random())
  }

  /// Takes prompt, style, seed and guidance of an earlier picture.
  public func reuse(_ earlier: Drawing) {
    prompt = earlier.prompt
    style = earlier.style
    seedText = String(earlier.seed)
    guidance = earlier.guidance ?? guidance
    syntax = earlier.syntax ?? .plain
  }

  /// Makes room for what a model takes; pictures of another size than its own are given up.
  func offer(_ card: ModelCard) {
    guidance = card.guidance ?? guidance
    if start?.picture.size != card.startSize { start = nil }
    hints = (0..<card.controls).map { place in
      var choice = hints.indices.contains(place) ? hints[place] : HintChoice()
      if choice.picture?.size != card.pictureSize { choice.picture = nil }
      return choice
    }
  }

  /// Begins to draw with a model that `use` gives in its turn; a drawing that is under way is left alone.
  ///
  /// `keep` is called once, with the picture.
  public func draw(
    card: ModelCard, use: @escaping UseArtist, keep: @escaping @MainActor (Drawing, Picture) -> Void
  ) {
    guard canDraw, let seed else { return }
    let plan: Plan
    do { plan = try self.plan(card, seed: seed) } catch { return end(with: error) }
    (number, phase) = (1, .preparing)
    preview = nil
    wordsUnknown = false
    task = Task {
      do {
        try await use(card) { try await self.follow(plan, artist: $0, keep: keep) }
      } catch {
        end(with: error)
      }
    }
  }

  /// Stops a drawing; the pipeline notices before its next call of a stage.
  public func cancel() {
    task?.cancel()
  }

  /// Waits until a drawing has ended.
  public func finish() async {
    await task?.value
  }

  private func plan(_ card: ModelCard, seed: UInt64) throws -> Plan {
    let style = card.styles.contains(style) ? style : ""
    let scale = card.guidance == nil ? nil : guidance
    let start = card.startSize == nil ? nil : start
    let given = start.map {
      card.edits ? Start(picture: $0.picture) : Start(picture: $0.picture, strength: strength, mask: $0.pixelMask)
    }
    let hints = hints.prefix(card.controls).compactMap { choice in
      choice.picture.map { Hint(picture: $0, scale: choice.scale) }
    }
    let words = PromptStyle.apply(style, to: prompt)
    let request = DrawRequest(prompt: words, seed: seed, guidance: scale, start: given, syntax: syntax, hints: hints)
    return Plan(requests: try request.series(pictures), prompt: prompt, style: style, card: card)
  }

  private struct Plan {
    /// One for each picture.
    let requests: [DrawRequest]
    let prompt: String
    let style: String
    let card: ModelCard
  }

  private func follow(
    _ plan: Plan, artist: any Artist, keep: @MainActor (Drawing, Picture) -> Void
  ) async throws {
    wordsUnknown = try !artist.knows(plan.prompt)
    var watch = Stopwatch()
    var waiting = plan.requests[...]
    for try await event in artist.draw(plan.requests[0], pictures: plan.requests.count) {
      try Task.checkCancellation()
      switch event {
      case .loading:
        break
      case .step(let step, let steps, let preview):
        watch.step()
        phase = .drawing(step: step, steps: steps)
        self.preview = preview
      case .finished(let picture, let milliseconds):
        guard let request = waiting.popFirst() else { break }
        show(picture, of: plan, request, times: watch.finish(milliseconds: milliseconds), keep: keep)
        guard !waiting.isEmpty else { break }
        watch = Stopwatch()
        (number, phase) = (number + 1, .preparing)
      }
    }
    // A stream that is cancelled may end without an error.
    if isDrawing { throw CancellationError() }
  }

  private func show(
    _ picture: Picture, of plan: Plan, _ request: DrawRequest, times: DrawTimes,
    keep: @MainActor (Drawing, Picture) -> Void
  ) {
    let drawing = Drawing(
      prompt: plan.prompt, style: plan.style, seed: request.seed, guidance: request.guidance,
      model: plan.card.title, runtime: plan.card.runtime, milliseconds: times.total, strength: request.start?.strength,
      syntax: request.syntax)
    self.picture = picture
    self.drawing = drawing
    self.times = times
    preview = nil
    phase = .finished
    keep(drawing, picture)
  }

  private func end(with error: any Error) {
    preview = nil
    phase = error is CancellationError ? .cancelled : .failed(DiffusionError.line(of: error))
  }
}
