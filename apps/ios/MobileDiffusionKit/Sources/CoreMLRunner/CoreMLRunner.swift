#if canImport(CoreML)
  import CoreML
  import Foundation
  import MobileDiffusionKit

  /// Runs the `.mlpackage` programs of a bundle on Core ML.
  ///
  /// Packages are compiled when they are first loaded and kept compiled among the app's caches. A package that was cut
  /// into chunks is one model all the same; of one with several functions the manifest's is run (iOS 18).
  public actor CoreMLRunner: ModelRunner {
    /// The runtime in a bundle's manifest.
    public static let runtimeName = "coreml"

    public nonisolated let description = RunnerDescription(name: "coreml swift", version: "", threads: nil)
    private let programs: [Stage: Program]
    private let compiled: CompiledModels
    private let computeUnits: MLComputeUnits
    private var models: [Stage: MLModel] = [:]
    private let queue = StageQueue("CoreMLRunner")

    public nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

    private struct Program {
      let package: URL
      let artifact: Artifact
      let spec: StageSpec
    }

    /// Compares the packages of a bundle with its manifest; compiles and loads none.
    ///
    /// `caches` is where compiled models are kept, the app's folder of caches. `unit` is the one to compute on; nil for the
    /// bundle's choice. Throws one line when the bundle has no
    /// Core ML programs, one is damaged, or it was exported with a setting that is not known here.
    public init(bundle: ModelBundle, caches: URL, unit: ComputeUnit? = nil) throws {
      let runtime = try bundle.runtime(Self.runtimeName)
      computeUnits = try unit?.units ?? Self.computeUnits(runtime.settings["compute_units"] ?? "ALL")
      if runtime.settings["pixel_buffer"] == "true" {
        throw DiffusionError(
          "manifest.json: expected a picture as numbers, got pixel_buffer true; export for ios without it")
      }
      var programs: [Stage: Program] = [:]
      for artifact in runtime.artifacts {
        guard let spec = bundle.manifest.spec(of: artifact.stage) else { continue }
        let package = try bundle.file(artifact.stage, for: runtime)
        programs[artifact.stage] = Program(package: package, artifact: artifact, spec: spec)
      }
      self.programs = programs
      compiled = CompiledModels(of: bundle.digest, in: caches)
    }

    public func load(_ stage: Stage) async throws {
      guard let program = programs[stage] else { throw Self.absent(stage) }
      do {
        models[stage] = try await open(program, stage)
      } catch let error as DiffusionError {
        throw error
      } catch is CancellationError {
        throw CancellationError()
      } catch {
        throw DiffusionError(
          "\(program.package.path): expected a Core ML program of \(stage.rawValue): \(error.localizedDescription); "
            + "export it again")
      }
    }

    public func unload(_ stage: Stage) {
      models[stage] = nil
    }

    public func run(_ stage: Stage, _ inputs: [String: TensorValue]) throws -> [String: TensorValue] {
      guard let program = programs[stage], let model = models[stage] else { throw Self.absent(stage) }
      let results: any MLFeatureProvider
      do {
        results = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: inputs.mapValues(\.feature)))
      } catch {
        throw DiffusionError("\(stage.rawValue): expected outputs, got an error: \(error.localizedDescription)")
      }
      var outputs: [String: TensorValue] = [:]
      for (spec, name) in zip(program.spec.outputs, program.artifact.outputs) {
        outputs[spec.name] = results.featureValue(for: name)?.multiArrayValue?.tensor
      }
      return outputs
    }

    /// Opens a compiled model. One that does not open, as an emptied cache may leave it, is compiled again.
    private func open(_ program: Program, _ stage: Stage) async throws -> MLModel {
      let configuration = try configuration(for: program.artifact)
      let name = stage.rawValue
      if let found = compiled.find(name), let model = try? MLModel(contentsOf: found, configuration: configuration) {
        return model
      }
      let made = compiled.keep(try await MLModel.compileModel(at: program.package), as: name)
      try Task.checkCancellation()
      return try MLModel(contentsOf: made, configuration: configuration)
    }

    private func configuration(for artifact: Artifact) throws -> MLModelConfiguration {
      let configuration = MLModelConfiguration()
      configuration.computeUnits = computeUnits
      guard artifact.method != "main" else { return configuration }
      guard #available(iOS 18, macOS 15, *) else {
        throw DiffusionError(
          "\(artifact.path): expected iOS 18 for the function \(artifact.method), got an older system; update it")
      }
      configuration.functionName = artifact.method
      return configuration
    }

    private static func computeUnits(_ name: String) throws -> MLComputeUnits {
      let choices: [String: MLComputeUnits] = [
        "ALL": .all, "CPU_ONLY": .cpuOnly, "CPU_AND_GPU": .cpuAndGPU, "CPU_AND_NE": .cpuAndNeuralEngine,
      ]
      guard let units = choices[name] else {
        throw DiffusionError(
          "manifest.json: compute_units: expected one of \(choices.keys.sorted().joined(separator: ", ")), "
            + "got '\(name)'; export the bundle again")
      }
      return units
    }

    private static func absent(_ stage: Stage) -> DiffusionError {
      DiffusionError("\(stage.rawValue): expected a stage that is loaded, got another; load it first")
    }
  }

  extension ComputeUnit {
    fileprivate var units: MLComputeUnits {
      switch self {
      case .all: .all
      case .cpu: .cpuOnly
      case .gpu: .cpuAndGPU
      case .neuralEngine: .cpuAndNeuralEngine
      }
    }
  }

  extension TensorValue {
    /// The tensor as Core ML takes it.
    fileprivate var feature: MLFeatureValue {
      switch self {
      case .floats(let values, let shape): MLFeatureValue(shapedArray: MLShapedArray(scalars: values, shape: shape))
      case .integers(let values, let shape): MLFeatureValue(shapedArray: MLShapedArray(scalars: values, shape: shape))
      }
    }
  }

  extension MLMultiArray {
    /// The array in float32 and C order, whatever its type and its strides are.
    fileprivate var tensor: TensorValue {
      let values = dataType == .float32 ? MLShapedArray<Float>(self).scalars : (0..<count).map { self[$0].floatValue }
      return .floats(values, shape: shape.map(\.intValue))
    }
  }
#endif
