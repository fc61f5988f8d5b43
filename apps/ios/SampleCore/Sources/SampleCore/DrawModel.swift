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
  }

  /// Begins to draw with a model that `use` gives in its turn; a drawing that is under way is left alone.
  ///
  /// `keep` is called once, with the picture.
  public func draw(
    card: ModelCard, use: @escaping UseArtist, keep: @escaping @MainActor (Drawing, Picture) -> Void
  ) {
    guard canDraw, let seed else { return }
    guard seed <= .max - UInt64(pictures - 1) else {
      phase = .failed("seed: expected \(pictures) seeds from it on, got \(seed); take a smaller one")
      return
    }
    let plan = plan(card, seeds: seed...(seed + UInt64(pictures - 1)))
    phase = .preparing
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

  private func plan(_ card: ModelCard, seeds: ClosedRange<UInt64>) -> Plan {
    let style = card.styles.contains(style) ? style : ""
    let scale = card.guidance == nil ? nil : guidance
    let start = card.startSize == nil ? nil : start
    let given = start.map { Start(picture: $0.picture, strength: strength, mask: $0.pixelMask) }
    let words = PromptStyle.apply(style, to: prompt)
    let requests = seeds.map { DrawRequest(prompt: words, seed: $0, guidance: scale, start: given) }
    return Plan(requests: requests, prompt: prompt, style: style, card: card)
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
    for (place, request) in plan.requests.enumerated() {
      (number, phase) = (place + 1, .preparing)
      try await follow(request, of: plan, artist: artist, keep: keep)
    }
  }

  private func follow(
    _ request: DrawRequest, of plan: Plan, artist: any Artist, keep: @MainActor (Drawing, Picture) -> Void
  ) async throws {
    var watch = Stopwatch()
    for try await event in artist.draw(request) {
      try Task.checkCancellation()
      switch event {
      case .loading:
        break
      case .step(let step, let steps, let preview):
        watch.step()
        phase = .drawing(step: step, steps: steps)
        self.preview = preview
      case .finished(let picture, let milliseconds):
        show(picture, of: plan, request, times: watch.finish(milliseconds: milliseconds), keep: keep)
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
      model: plan.card.title, runtime: plan.card.runtime, milliseconds: times.total, strength: request.start?.strength)
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
