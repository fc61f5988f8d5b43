import MobileDiffusionKit

/// What the user chose for one ControlNet.
public struct HintChoice: Equatable, Sendable {
  /// Of the model's size; nil before one is chosen.
  public var picture: Picture?
  /// Strength of its effect, 0 to 2.
  public var scale: Double

  public init(picture: Picture? = nil, scale: Double = 1) {
    (self.picture, self.scale) = (picture, scale)
  }
}
