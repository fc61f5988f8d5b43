#if canImport(CoreAI)
  import CoreAI
  import Foundation
  import MobileDiffusionKit

  /// Runs the `.aimodel` programs of a bundle on Core AI, Apple's runtime from iOS 27 on.
  ///
  /// The system specializes a program for the device when it is first loaded, keeps the result in the app's cache, and
  /// may purge that when storage is short, when the program is deleted, and when the system is updated. Files are
  /// compared with the manifest before Core AI sees them: it would keep what it makes of a damaged program, too.
  @available(iOS 27, macOS 27, *)
  public actor CoreAIRunner: ModelRunner {
    /// The runtime in a bundle's manifest.
    public static let runtimeName = "coreai"

    public nonisolated let description = RunnerDescription(name: "coreai swift", version: "", threads: nil)
    private let programs: [Stage: Program]
    private let unit: PreferredUnit?
    private var functions: [Stage: InferenceFunction] = [:]
    private let queue = StageQueue("CoreAIRunner")

    public nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

    private struct Program {
      let asset: URL
      let artifact: Artifact
      let spec: StageSpec
    }

    /// Compares the programs of a bundle with its manifest, which takes a second for 200 MB; loads none.
    ///
    /// `unit` is the one to compute on; nil for the bundle's choice, `all` for the system's. Throws one line when the bundle
    /// has no Core AI programs, one is damaged, or it was exported with a setting that is not known here.
    public init(bundle: ModelBundle, unit: ComputeUnit? = nil) throws {
      let runtime = try bundle.runtime(Self.runtimeName)
      self.unit = unit == nil ? try PreferredUnit.read(runtime.settings) : unit.flatMap(PreferredUnit.init)
      var programs: [Stage: Program] = [:]
      for artifact in runtime.artifacts {
        guard let spec = bundle.manifest.spec(of: artifact.stage) else { continue }
        let asset = try bundle.file(artifact.stage, for: runtime)
        programs[artifact.stage] = Program(asset: asset, artifact: artifact, spec: spec)
      }
      self.programs = programs
    }

    public func load(_ stage: Stage) async throws {
      guard let program = programs[stage] else { throw Self.absent(stage) }
      do {
        functions[stage] = try await open(program, stage)
      } catch let error as DiffusionError {
        throw error
      } catch is CancellationError {
        throw CancellationError()
      } catch {
        throw DiffusionError(
          "\(program.asset.path): expected a Core AI program of \(stage.rawValue): \(error.localizedDescription); "
            + "export it again")
      }
    }

    /// A function owns its weights and buffers, so letting it go gives the memory back.
    public func unload(_ stage: Stage) {
      functions[stage] = nil
    }

    public func run(_ stage: Stage, _ inputs: [String: TensorValue]) async throws -> [String: TensorValue] {
      guard let program = programs[stage], let function = functions[stage] else { throw Self.absent(stage) }
      do {
        var results = try await function.run(inputs: inputs.mapValues(\.array))
        var outputs: [String: TensorValue] = [:]
        for (spec, name) in zip(program.spec.outputs, program.artifact.outputs) {
          guard let value = results.remove(name), let array = value.ndArray else { continue }
          outputs[spec.name] = try array.tensor(named: spec.name, of: stage)
        }
        return outputs
      } catch let error as DiffusionError {
        throw error
      } catch is CancellationError {
        throw CancellationError()
      } catch {
        throw DiffusionError("\(stage.rawValue): expected outputs, got an error: \(error.localizedDescription)")
      }
    }

    /// Specializes a program if need be, which may take minutes, and loads its function.
    private func open(_ program: Program, _ stage: Stage) async throws -> InferenceFunction {
      let model = try await AIModel(contentsOf: program.asset, options: unit?.options ?? .default)
      try Task.checkCancellation()
      let method = program.artifact.method
      guard let function = try model.loadFunction(named: method) else {
        throw DiffusionError(
          "\(program.asset.path): expected the function \(method), got a program without it; export it again")
      }
      try check(function.descriptor.inputNames, program.spec.inputs.map(\.name), "inputs", of: program)
      try check(function.descriptor.outputNames, program.artifact.outputs, "outputs", of: program)
      return function
    }

    private func check(_ found: [String], _ wanted: [String], _ kind: String, of program: Program) throws {
      guard Set(found) != Set(wanted) else { return }
      let (wanted, found) = (wanted.joined(separator: ", "), found.joined(separator: ", "))
      throw DiffusionError(
        "\(program.asset.path): expected the \(kind) \(wanted), got \(found.prefix(100)); export it again")
    }

    private static func absent(_ stage: Stage) -> DiffusionError {
      DiffusionError("\(stage.rawValue): expected a stage that is loaded, got another; load it first")
    }
  }

  /// The compute unit that the export was made for.
  @available(iOS 27, macOS 27, *)
  private enum PreferredUnit: String, CaseIterable, Sendable {
    case cpu, gpu
    case neuralEngine = "neural_engine"

    /// nil when the bundle prefers none; throws for a name that is not known here.
    static func read(_ settings: [String: String]) throws -> PreferredUnit? {
      guard let name = settings["preferred_compute_unit"] else { return nil }
      if let unit = PreferredUnit(rawValue: name) { return unit }
      let choices = allCases.map(\.rawValue).joined(separator: ", ")
      throw DiffusionError(
        "manifest.json: preferred_compute_unit: expected one of \(choices), got '\(name)'; export the bundle again")
    }

    /// nil for `all`.
    init?(_ unit: ComputeUnit) {
      self.init(rawValue: unit.rawValue)
    }

    var options: SpecializationOptions {
      switch self {
      case .cpu: .cpuOnly
      case .gpu: SpecializationOptions(preferredComputeUnitKind: .gpu)
      case .neuralEngine: SpecializationOptions(preferredComputeUnitKind: .neuralEngine)
      }
    }
  }

  @available(iOS 27, macOS 27, *)
  extension TensorValue {
    /// The tensor as Core AI takes it: in C order. The runtime copies it where it prefers another layout.
    fileprivate var array: NDArray {
      switch self {
      case .floats(let values, let shape): Self.array(of: values, shape, .float32)
      case .integers(let values, let shape): Self.array(of: values, shape, .int32)
      }
    }

    private static func array<Scalar: BitwiseCopyable>(
      of values: [Scalar], _ shape: [Int], _ type: NDArray.ScalarType
    ) -> NDArray {
      var array = NDArray(shape: shape, scalarType: type)
      array.mutableView(as: Scalar.self).withUnsafeMutablePointer { elements, _, _ in
        values.withUnsafeBufferPointer { elements.update(from: $0.baseAddress!, count: $0.count) }
      }
      return array
    }
  }

  @available(iOS 27, macOS 27, *)
  extension NDArray {
    /// The array in float32 and C order, whatever its layout is; throws when it is of another type.
    fileprivate func tensor(named name: String, of stage: Stage) throws -> TensorValue {
      guard case .float32 = scalarType else {
        throw DiffusionError(
          "\(stage.rawValue): expected \(name) in float32, got \(scalarType); export the bundle again")
      }
      let interleaving = interleaveLayout.map {
        StridedLayout.Interleaving(dimension: $0.dimension, factor: $0.factor)
      }
      let layout = StridedLayout(shape: shape, strides: strides, interleaving: interleaving)
      let values = view(as: Float.self).withUnsafePointer { elements, _, _ in layout.read(elements) }
      return .floats(values, shape: shape)
    }
  }
#endif
