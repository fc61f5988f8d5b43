/// The context of a reading: the text encoder's output per window, weighted, mixed, and joined along the tokens.
///
/// In double precision within, rounded once; a window whose weights are all 1 is not touched.
struct Weighing {
  private static let context = "context"
  /// Width of the context per text encoder.
  let widths: [Int]

  /// What `encode_text` returned for the windows of each version, and for the empty prompt -> its outputs for the whole.
  ///
  /// Throws when weights leave no finite text.
  func outputs(
    _ reading: Reading, _ encoded: [[[String: TensorValue]]], empty: [String: TensorValue]?
  ) throws -> [String: TensorValue] {
    let base = try empty?.floats(Self.context, of: .encodeText)
    var contexts: [[Double]] = []
    for (version, found) in zip(reading.versions, encoded) {
      var context: [Double] = []
      for (window, outputs) in zip(version.windows, found) {
        context += weighed(try outputs.floats(Self.context, of: .encodeText), window, base)
      }
      contexts.append(context)
    }
    let values = mixed(reading, contexts)
    try require(
      isPlain(reading) || values.allSatisfy(\.isFinite),
      "prompt: expected weights that leave a finite text, got weights that do not; change them")
    var outputs = encoded[0][0]
    let width = widths.reduce(0, +)
    outputs[Self.context] = .floats(values, shape: [1, values.count / width, width])
    return outputs
  }

  private func isPlain(_ reading: Reading) -> Bool { reading.versions.count == 1 && reading.versions[0].isPlain }

  private func mixed(_ reading: Reading, _ contexts: [[Double]]) -> [Float] {
    if isPlain(reading) { return contexts[0].map { Float($0) } }
    let total = reading.versions.reduce(0) { $0 + $1.share }
    return contexts[0].indices.map { place in
      var sum = 0.0
      for (version, context) in zip(reading.versions, contexts) { sum += version.share * context[place] }
      return Float(sum / total)
    }
  }

  /// Vectors (L, D) of a window: led away from the empty prompt's, or multiplied, keeping the mean of each encoder.
  private func weighed(_ context: [Float], _ window: Reading.Window, _ empty: [Float]?) -> [Double] {
    var result = context.map { Double($0) }
    if empty == nil, window.isPlain { return result }
    let length = window.weights.count / widths.count
    let width = context.count / length
    var first = 0
    for (encoder, own) in widths.enumerated() {
      var (before, after) = (0.0, 0.0)
      for token in 0..<length {
        let weight = window.weights[encoder * length + token]
        for place in (token * width + first)..<(token * width + first + own) {
          let value = Double(context[place])
          before += value
          after += weight * value
          if let empty {
            result[place] = Double(empty[place]) + weight * (value - Double(empty[place]))
          } else {
            result[place] = weight * value
          }
        }
      }
      if empty == nil {
        for token in 0..<length {
          for place in (token * width + first)..<(token * width + first + own) { result[place] *= before / after }
        }
      }
      first += own
    }
    return result
  }
}
