import CExecuTorch

/// A type of elements that the stand-in knows: Float and Int32.
public protocol Scalar {
  static var type: ETType { get }
}

extension Float: Scalar {
  public static var type: ETType { ET_FLOAT32 }
}

extension Int32: Scalar {
  public static var type: ETType { ET_INT32 }
}

/// A dense tensor in C order.
public final class Tensor<T: Scalar>: ValueConvertible {
  public let shape: [Int]
  private let values: [T]

  public init(_ scalars: [T], shape: [Int]) {
    (values, self.shape) = (scalars, shape)
  }

  public func scalars() -> [T] { values }

  public func asValue() -> Value {
    Value(shape: shape, type: T.type, bytes: values.withUnsafeBytes { Array($0) })
  }
}

/// What can be given to a method.
public protocol ValueConvertible {
  func asValue() -> Value
}

/// What a method takes and gives: here always a tensor.
public final class Value: ValueConvertible {
  private let shape: [Int]
  private let type: ETType
  private let bytes: [UInt8]

  init(shape: [Int], type: ETType, bytes: [UInt8]) {
    (self.shape, self.type, self.bytes) = (shape, type, bytes)
  }

  convenience init(_ tensor: ETTensor) {
    let shape = UnsafeBufferPointer(start: tensor.shape, count: Int(tensor.rank)).map { Int($0) }
    let data = UnsafeRawBufferPointer(start: tensor.data, count: 4 * shape.reduce(1, *))
    self.init(shape: shape, type: tensor.type, bytes: Array(data))
  }

  public func asValue() -> Value { self }

  /// The tensor, if its elements are of this type.
  public func tensor<T: Scalar>() -> Tensor<T>? {
    guard type == T.type else { return nil }
    return Tensor(bytes.withUnsafeBytes { Array($0.bindMemory(to: T.self)) }, shape: shape)
  }

  func withTensor<Result>(_ action: (ETTensor) -> Result) -> Result {
    shape.map { Int64($0) }.withUnsafeBufferPointer { shape in
      bytes.withUnsafeBytes { data in
        action(ETTensor(type: type, rank: Int32(shape.count), shape: shape.baseAddress, data: data.baseAddress))
      }
    }
  }
}
