/// What is to be drawn.
public struct DrawRequest: Equatable, Sendable {
  /// Up to 1,000,000 characters without NUL; the model reads the first tokens of it. "" is a prompt too.
  public var prompt: String
  /// What the picture should not show; "" for models that have guidance in their weights.
  public var negative: String
  /// The same seed gives the same picture everywhere.
  public var seed: UInt64
  /// Scale of guidance, 0 to 30; nil for the bundle's own.
  public var guidance: Double?

  public init(prompt: String, negative: String = "", seed: UInt64 = 0, guidance: Double? = nil) {
    self.prompt = prompt
    self.negative = negative
    self.seed = seed
    self.guidance = guidance
  }
}
