/// What is to be drawn.
public struct DrawRequest: Equatable, Sendable {
  /// Up to 1,000,000 characters without NUL; the model reads the first tokens of it. "" is a prompt too.
  public var prompt: String
  /// What the picture should not show; without effect without guidance, and "" for models that have guidance in their
  /// weights.
  public var negative: String
  /// The same seed gives the same picture everywhere.
  public var seed: UInt64
  /// Scale of guidance, up to 30, where 1 or less is no guidance; nil for the bundle's own.
  public var guidance: Double?
  /// A picture to start from; nil starts from noise.
  public var start: Start?
  /// How both prompts write weights.
  public var syntax: PromptSyntax
  /// One per ControlNet, in their order.
  public var hints: [Hint]

  public init(
    prompt: String, negative: String = "", seed: UInt64 = 0, guidance: Double? = nil, start: Start? = nil,
    syntax: PromptSyntax = .plain, hints: [Hint] = []
  ) {
    self.prompt = prompt
    self.negative = negative
    self.seed = seed
    self.guidance = guidance
    self.start = start
    self.syntax = syntax
    self.hints = hints
  }

  /// The same request with so many seeds, from its own on; throws one line for seeds that end before.
  public func series(_ pictures: Int) throws -> [DrawRequest] {
    try require(
      seed <= .max - UInt64(pictures - 1),
      "seed: expected \(pictures) seeds from it on, got \(seed); take a smaller one")
    return (0..<pictures).map { place in
      var other = self
      other.seed += UInt64(place)
      return other
    }
  }

  /// A warning in one line for a negative prompt that has no effect with a bundle of this schedule, or nil.
  public func unusedNegative(_ schedule: Schedule) -> String? {
    let scale = guidance ?? schedule.guidance
    if negative.isEmpty || scale > 1 || schedule.guidanceKind == .distilled { return nil }
    return "negative prompt: it has no effect at guidance \(scale.short); use a guidance above 1"
  }
}
