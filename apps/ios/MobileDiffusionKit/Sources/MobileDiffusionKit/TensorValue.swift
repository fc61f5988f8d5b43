/// A dense tensor in C order.
public enum TensorValue: Equatable, Sendable {
  /// float32.
  case floats([Float], shape: [Int])
  /// int32.
  case integers([Int32], shape: [Int])

  /// Sizes of the dimensions; the stages' tensors have a batch of 1 in front.
  public var shape: [Int] {
    switch self {
    case .floats(_, let shape), .integers(_, let shape): shape
    }
  }

  /// Number of elements.
  public var count: Int {
    switch self {
    case .floats(let values, _): values.count
    case .integers(let values, _): values.count
    }
  }

  /// The elements of a float32 tensor; nil for int32.
  public var floats: [Float]? {
    if case .floats(let values, _) = self { values } else { nil }
  }

  /// "float32" or "int32", as the manifest calls it.
  public var dtype: String {
    switch self {
    case .floats: "float32"
    case .integers: "int32"
    }
  }
}

extension [String: TensorValue] {
  /// The float32 elements of an output; throws when the stage has not given it.
  func floats(_ name: String, of stage: Stage) throws -> [Float] {
    guard let values = self[name]?.floats else {
      throw DiffusionError(
        "\(stage.rawValue): expected the output \(name) in float32, got none; export the bundle again")
    }
    return values
  }
}
