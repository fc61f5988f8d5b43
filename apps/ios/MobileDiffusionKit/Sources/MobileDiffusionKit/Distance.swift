import Foundation

/// How far values are from a reference; NaN where one of them is not finite.
struct Distance: Sendable {
  let snrDb: Double
  /// Against a peak of 1.
  let psnrDb: Double
  let maxAbs: Double

  /// Throws one line for values of another number.
  init(_ expected: [Float], _ found: [Float]) throws {
    try require(
      expected.count == found.count && !expected.isEmpty,
      "expected an output of \(expected.count) values, as PyTorch gives, got \(found.count)")
    var (signal, error, largest) = (0.0, 0.0, 0.0)
    for (wanted, given) in zip(expected, found) {
      let difference = Double(given) - Double(wanted)
      signal += Double(wanted) * Double(wanted)
      error += difference * difference
      largest = max(largest, abs(difference))
    }
    guard error.isFinite else {
      (snrDb, psnrDb, maxAbs) = (.nan, .nan, .nan)
      return
    }
    snrDb = Self.decibels(signal, error)
    psnrDb = Self.decibels(1, error / Double(expected.count))
    maxAbs = largest
  }

  private static func decibels(_ signal: Double, _ error: Double) -> Double {
    error == 0 ? .infinity : 10 * log10(signal / error)
  }
}
