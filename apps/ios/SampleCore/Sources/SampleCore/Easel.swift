/// Keeps the model that drew last open, so that the next picture begins at once.
actor Easel {
  private let open: OpenArtist
  private var current: (card: ModelCard, artist: any Artist)?

  init(open: @escaping OpenArtist) {
    self.open = open
  }

  /// The artist of a model; another model's is given up first.
  func artist(for card: ModelCard) async throws -> any Artist {
    if let current, current.card == card { return current.artist }
    await clear()
    let artist = try await open(card)
    current = (card, artist)
    return artist
  }

  /// Gives the memory of the stages back; the model stays open.
  func unload() async {
    await current?.artist.unload()
  }

  /// Gives the model up.
  func clear() async {
    await current?.artist.unload()
    current = nil
  }
}
