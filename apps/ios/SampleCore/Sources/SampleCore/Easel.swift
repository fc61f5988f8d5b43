/// The one model that is open, and whose turn it is: what draws or measures has it alone until it has ended.
///
/// The model that drew last stays open, so that the next picture begins at once.
actor Easel {
  private let open: OpenArtist
  private var current: (card: ModelCard, artist: any Artist)?
  private var isTaken = false
  private var waiting: [(id: Int, turn: CheckedContinuation<Void, any Error>)] = []
  private var next = 0

  init(open: @escaping OpenArtist) {
    self.open = open
  }

  /// Does something with the artist of a model, in its turn; another model's artist is given up first.
  func use(_ card: ModelCard, _ work: @MainActor (any Artist) async throws -> Void) async throws {
    try await take()
    defer { give() }
    try await work(artist(for: card))
  }

  /// Does something in its turn while no model is open.
  func alone<Value: Sendable>(_ work: @Sendable () async throws -> Value) async throws -> Value {
    try await take()
    defer { give() }
    await clear()
    return try await work()
  }

  /// Gives the memory of the stages back; the model stays open.
  func unload() async {
    await current?.artist.unload()
  }

  private func artist(for card: ModelCard) async throws -> any Artist {
    if let current, current.card == card { return current.artist }
    await clear()
    let artist = try await open(card)
    current = (card, artist)
    return artist
  }

  private func clear() async {
    await current?.artist.close()
    current = nil
  }

  /// Waits for its turn, first come, first served; throws when it is cancelled meanwhile.
  private func take() async throws {
    try Task.checkCancellation()
    guard isTaken else {
      isTaken = true
      return
    }
    next += 1
    let id = next
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { waiting.append((id, $0)) }
    } onCancel: {
      Task { await self.leave(id) }
    }
  }

  private func leave(_ id: Int) {
    guard let place = waiting.firstIndex(where: { $0.id == id }) else { return }
    waiting.remove(at: place).turn.resume(throwing: CancellationError())
  }

  private func give() {
    if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().turn.resume() }
  }
}
