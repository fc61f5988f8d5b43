/// Where the elements of an array lie in memory, when a runtime pads or interleaves its rows.
public struct StridedLayout: Equatable, Sendable {
  /// Several neighbours along one dimension that lie side by side: element i of it is at (i / factor) * stride +
  /// i % factor.
  public struct Interleaving: Equatable, Sendable {
    public let dimension: Int
    public let factor: Int

    public init(dimension: Int, factor: Int) {
      (self.dimension, self.factor) = (dimension, factor)
    }
  }

  /// Sizes of the dimensions.
  public let shape: [Int]
  /// Elements from one index of a dimension to the next; of an interleaved one, from one block to the next.
  public let strides: [Int]
  public let interleaving: Interleaving?

  public init(shape: [Int], strides: [Int], interleaving: Interleaving? = nil) {
    (self.shape, self.strides, self.interleaving) = (shape, strides, interleaving)
  }

  /// Number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// Whether the elements lie in C order, without gaps.
  public var isContiguous: Bool {
    var expected = 1
    for (size, stride) in zip(shape, strides).reversed() {
      if size != 1 && stride != expected { return false }
      expected *= size
    }
    return interleaving == nil
  }

  /// Reads all elements in C order; `elements` points to the first one.
  public func read(_ elements: UnsafePointer<Float>) -> [Float] {
    if isContiguous { return Array(UnsafeBufferPointer(start: elements, count: count)) }
    var values: [Float] = []
    values.reserveCapacity(count)
    append(from: elements, dimension: 0, offset: 0, to: &values)
    return values
  }

  private func append(from elements: UnsafePointer<Float>, dimension: Int, offset: Int, to values: inout [Float]) {
    guard dimension < shape.count else { return values.append(elements[offset]) }
    for index in 0..<shape[dimension] {
      let place = offset + distance(to: index, in: dimension)
      append(from: elements, dimension: dimension + 1, offset: place, to: &values)
    }
  }

  private func distance(to index: Int, in dimension: Int) -> Int {
    guard let interleaving, interleaving.dimension == dimension else { return index * strides[dimension] }
    return index / interleaving.factor * strides[dimension] + index % interleaving.factor
  }
}
