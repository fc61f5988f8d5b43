import UIKit

/// A finger on the screen; a picture of a screen has none.
public struct DragGesture {
  public struct Value: Sendable {
    public let location: CGPoint
  }

  public init(minimumDistance: CGFloat = 10) {}
  public func onChanged(_ action: @escaping (Value) -> Void) -> DragGesture { self }
}
