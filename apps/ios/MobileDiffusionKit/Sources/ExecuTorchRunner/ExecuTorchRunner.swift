import ExecuTorch
import Foundation
import MobileDiffusionKit

/// Runs the `.pte` programs of a bundle on ExecuTorch: with XNNPACK, or with Core ML as ExecuTorch's delegate.
///
/// The app links the products executorch, backend_coreml, backend_xnnpack, kernels_optimized and kernels_quantized with
/// `-all_load`: backends and kernels register themselves when they are loaded, and nothing refers to them.
public actor ExecuTorchRunner: ModelRunner {
  /// The runtimes in a bundle's manifest: ExecuTorch on the processor, and with one of Apple's runtimes as its delegate.
  private static let (host, delegated) = ("xnnpack", "executorch")
  /// The version of ExecuTorch that this is written for.
  public static let version = "1.5.1"

  public nonisolated let description: RunnerDescription
  private let programs: [Stage: Program]
  private var modules: [Stage: Module] = [:]
  private let queue = StageQueue("ExecuTorchRunner")

  public nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

  private struct Program {
    let file: URL
    let method: String
    let spec: StageSpec
  }

  /// Compares the programs of a bundle with its manifest, which takes a second for 200 MB; loads none.
  ///
  /// `threads` is what a report says: ExecuTorch chooses by itself on a phone. Throws one line when the bundle has no
  /// programs for ExecuTorch, they need a delegate that ExecuTorch's Swift package does not have, or one is damaged.
  public init(bundle: ModelBundle, threads: Int? = nil) throws {
    let runtime = try Self.runtime(of: bundle)
    let name = runtime.name == Self.host ? "executorch swift" : "executorch swift (coreml)"
    description = RunnerDescription(name: name, version: Self.version, threads: threads)
    var programs: [Stage: Program] = [:]
    for artifact in runtime.artifacts {
      guard let spec = bundle.manifest.spec(of: artifact.stage) else { continue }
      let file = try bundle.file(artifact.stage, for: runtime)
      programs[artifact.stage] = Program(file: file, method: artifact.method, spec: spec)
    }
    self.programs = programs
  }

  public func load(_ stage: Stage) throws {
    guard let program = programs[stage] else { throw Self.absent(stage) }
    let module = Module(filePath: program.file.path, loadMode: .mmap)
    do {
      try module.load(program.method)
    } catch {
      throw DiffusionError(
        "\(program.file.path): expected an ExecuTorch program of \(stage.rawValue): \(error.localizedDescription); "
          + "export it again")
    }
    modules[stage] = module
  }

  public func unload(_ stage: Stage) {
    modules[stage] = nil
  }

  public func run(_ stage: Stage, _ inputs: [String: TensorValue]) throws -> [String: TensorValue] {
    guard let program = programs[stage], let module = modules[stage] else { throw Self.absent(stage) }
    let values = try program.spec.inputs.map { spec in try Self.tensor(inputs[spec.name], of: stage) }
    let results: [Value]
    do {
      results = try module.execute(program.method, values)
    } catch {
      throw DiffusionError("\(stage.rawValue): expected outputs, got an error: \(error.localizedDescription)")
    }
    var outputs: [String: TensorValue] = [:]
    for (spec, value) in zip(program.spec.outputs, results) {
      guard let tensor: Tensor<Float> = value.tensor() else { continue }
      outputs[spec.name] = .floats(tensor.scalars(), shape: tensor.shape)
    }
    return outputs
  }

  private static func runtime(of bundle: ModelBundle) throws -> Runtime {
    guard let runtime = bundle.manifest.runtimes.first(where: { $0.name == delegated }) else {
      return try bundle.runtime(host)
    }
    let delegate = runtime.settings["delegate"] ?? "coreml"
    guard delegate == "coreml" else {
      throw DiffusionError(
        "manifest.json: expected the delegate coreml, got \(delegate), which ExecuTorch \(version) cannot run on a "
          + "phone; export for ios with --delegate coreml")
    }
    return runtime
  }

  private static func tensor(_ value: TensorValue?, of stage: Stage) throws -> any ValueConvertible {
    switch value {
    case .floats(let values, let shape): return Tensor<Float>(values, shape: shape)
    case .integers(let values, let shape): return Tensor<Int32>(values, shape: shape)
    case nil: throw DiffusionError("\(stage.rawValue): expected all inputs, got fewer; export the bundle again")
    }
  }

  private static func absent(_ stage: Stage) -> DiffusionError {
    DiffusionError("\(stage.rawValue): expected a stage that is loaded, got another; load it first")
  }
}
