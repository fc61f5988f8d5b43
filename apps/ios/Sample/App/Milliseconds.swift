import Foundation

/// Durations as people read them.
enum Milliseconds {
  /// "0.43 ms", "87 ms", "1.9 s": digits enough to compare, in the way of the phone's language.
  static func text(_ milliseconds: Double) -> String {
    let isLong = milliseconds >= 1000
    let value = isLong ? milliseconds / 1000 : milliseconds
    let digits = value < 1 ? 2 : value < 10 ? 1 : 0
    let number = value.formatted(.number.precision(.fractionLength(digits)))
    return "\(number) \(isLong ? "s" : "ms")"
  }
}
