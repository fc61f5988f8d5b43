import MobileDiffusionKit

/// What draws: a pipeline in the app, a short play in tests.
public protocol Artist: Sendable {
  /// Draws so many pictures while the stream is read, with the request's seed and those after it; ending the task that
  /// reads it cancels the drawing.
  func draw(_ request: DrawRequest, pictures: Int) -> AsyncThrowingStream<DrawEvent, any Error>

  /// Whether the model knows a word of the prompt; if it knows none, the picture may be anything.
  func knows(_ prompt: String) throws -> Bool

  /// Gives all memory of the stages back as soon as a call that is under way has ended; what is drawn loads them again.
  func unload() async

  /// Gives all memory back for good, after the current drawing.
  func close() async
}

extension Pipeline: Artist {
  public nonisolated func knows(_ prompt: String) throws -> Bool {
    try tokenizer.encode(prompt).isKnown
  }
}

/// Opens the model in a folder; throws one line when it cannot be used.
public typealias OpenArtist = @Sendable (ModelCard) async throws -> any Artist

/// Does something with the artist of a model, which nothing else has meanwhile; throws when it cannot be opened.
public typealias UseArtist =
  @MainActor (ModelCard, @MainActor (any Artist) async throws -> Void) async throws -> Void
