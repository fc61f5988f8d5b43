// Declarations of CoreAI for checking types on machines without Apple's SDK: what CoreAIRunner uses, with the names and
// types of developer.apple.com/documentation/coreai.  Nothing here can be run, and no app is built with it.
//
// AIModel and InferenceFunction.Outputs cross the border of an actor in Apple's own pipeline (apple/coreai-models), so they
// are Sendable. Where neither that nor the documentation says whether a type is Sendable or can be copied, it is not.
import Foundation

public enum ComputeUnitKind: Sendable {
  case cpu, gpu, neuralEngine
}

public struct SpecializationOptions {
  public static var `default`: SpecializationOptions { fatalError("a stub") }
  public static var cpuOnly: SpecializationOptions { fatalError("a stub") }
  public init(preferredComputeUnitKind: ComputeUnitKind) { fatalError("a stub") }
}

public struct AIModel: Sendable {
  public init(contentsOf modelURL: URL, options: SpecializationOptions = .default) async throws { fatalError("a stub") }
  public func loadFunction(named functionName: String) throws -> InferenceFunction? { fatalError("a stub") }
}

public struct InferenceFunctionDescriptor: Sendable {
  public var inputNames: [String] { fatalError("a stub") }
  public var outputNames: [String] { fatalError("a stub") }
}

public struct InferenceFunction: Sendable {
  public let descriptor: InferenceFunctionDescriptor

  public struct MutableViews: ~Copyable {
    public init() { fatalError("a stub") }
  }

  public struct Outputs: ~Copyable, Sendable {
    public mutating func remove(_ name: String) -> InferenceValue? { fatalError("a stub") }
  }

  public func run(
    inputs: [String: NDArray], states: consuming MutableViews = MutableViews(),
    outputViews: consuming MutableViews = MutableViews()
  ) async throws -> Outputs { fatalError("a stub") }
}

public struct InferenceValue: ~Copyable {
  public var ndArray: NDArray? { consuming get { fatalError("a stub") } }
}

/// The standard library's from Swift 6.2 on.
public struct Span<Element> {}

public struct NDArray {
  public enum ScalarType {
    case float16, float32, int32
  }

  public struct InterleaveLayout {
    public var dimension: Int { fatalError("a stub") }
    public var factor: Int { fatalError("a stub") }
  }

  public struct View<Element: BitwiseCopyable>: ~Copyable {
    public func withUnsafePointer<R, E: Error>(
      _ body: (UnsafePointer<Element>, Span<Int>, Span<Int>) throws(E) -> R
    ) throws(E) -> R { fatalError("a stub") }
  }

  public struct MutableView<Element: BitwiseCopyable>: ~Copyable {
    public func withUnsafeMutablePointer<R, E: Error>(
      _ body: (UnsafeMutablePointer<Element>, Span<Int>, Span<Int>) throws(E) -> R
    ) throws(E) -> R { fatalError("a stub") }
  }

  public init(shape: [Int], scalarType: ScalarType) { fatalError("a stub") }
  public var shape: [Int] { fatalError("a stub") }
  public var strides: [Int] { fatalError("a stub") }
  public var scalarType: ScalarType { fatalError("a stub") }
  public var interleaveLayout: InterleaveLayout? { fatalError("a stub") }
  public func view<T: BitwiseCopyable>(as type: T.Type = T.self) -> View<T> { fatalError("a stub") }
  public mutating func mutableView<T: BitwiseCopyable>(as type: T.Type = T.self) -> MutableView<T> {
    fatalError("a stub")
  }
}
