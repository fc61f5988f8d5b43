// Declarations of CoreML for checking types on machines without Apple's SDK: what CoreMLRunner uses, with the SDK's
// names and types. Nothing here can be run, and no app is built with it.
import Foundation

public enum MLComputeUnits: Int, Sendable {
  case cpuOnly = 0
  case cpuAndGPU = 1
  case all = 2
  case cpuAndNeuralEngine = 3
}

open class MLModelConfiguration: NSObject {
  open var computeUnits: MLComputeUnits = .all
  open var functionName: String?
}

public protocol MLFeatureProvider {
  var featureNames: Set<String> { get }
  func featureValue(for featureName: String) -> MLFeatureValue?
}

open class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
  public init(dictionary: [String: Any]) throws { fatalError("a stub") }
  public var featureNames: Set<String> { fatalError("a stub") }
  public func featureValue(for featureName: String) -> MLFeatureValue? { fatalError("a stub") }
}

open class MLFeatureValue: NSObject {
  public convenience init<Scalar: MLShapedArrayScalar>(shapedArray: MLShapedArray<Scalar>) { fatalError("a stub") }
  open var multiArrayValue: MLMultiArray? { fatalError("a stub") }
}

public enum MLMultiArrayDataType: Int, Sendable {
  case double = 65600
  case float32 = 65568
  case float16 = 65552
  case int32 = 131104
}

open class MLMultiArray: NSObject {
  open var dataType: MLMultiArrayDataType { fatalError("a stub") }
  open var shape: [NSNumber] { fatalError("a stub") }
  open var count: Int { fatalError("a stub") }
  open subscript(idx: Int) -> NSNumber { fatalError("a stub") }
}

public protocol MLShapedArrayScalar {}
extension Float: MLShapedArrayScalar {}
extension Int32: MLShapedArrayScalar {}

public struct MLShapedArray<Scalar: MLShapedArrayScalar> {
  public init(scalars: some Sequence<Scalar>, shape: [Int]) { fatalError("a stub") }
  public init(_ multiArray: MLMultiArray) { fatalError("a stub") }
  public var scalars: [Scalar] { fatalError("a stub") }
}

open class MLModel: NSObject {
  public init(contentsOf url: URL, configuration: MLModelConfiguration) throws { fatalError("a stub") }
  public class func compileModel(at modelURL: URL) async throws -> URL { fatalError("a stub") }
  open func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider { fatalError("a stub") }
}
