import CoreAIRunner
import CoreMLRunner
import ExecuTorchRunner
import Foundation
import MobileDiffusionKit
import SampleCore

#if os(iOS)
  import os
#endif

/// Opens models with the runtime that their manifest asks for.
enum Runtimes {
  /// A pipeline; it holds one stage at a time where the model does not fit in what the app may still take, and computes
  /// on a unit that a comparison with PyTorch has passed, if there is one.
  ///
  /// Throws one line when the bundle is damaged or has programs for no runtime of this app.
  static func pipeline(for card: ModelCard, _ verdicts: UnitVerdicts) async throws -> Pipeline {
    let bundle = try ModelBundle.open(card.folder)
    let runtime = try RuntimeChoice.current.runtime(of: bundle.manifest, in: bundle.folder)
    return try pipeline(for: card, bundle, runtime, unit: verdicts.preferred(card, runtime: runtime.name))
  }

  private static func pipeline(
    for card: ModelCard, _ bundle: ModelBundle, _ runtime: Runtime, unit: ComputeUnit?
  ) throws -> Pipeline {
    let policy = MemoryChoice.policy(bytes: card.bytes, available: availableMemory)
    return try Pipeline(bundle: bundle, runner: try runner(for: bundle, runtime, unit: unit), memory: policy)
  }

  /// Compares a model with PyTorch on every unit of the runtime that draws with it; a unit that fails is part of the
  /// record.
  static func compare(
    _ card: ModelCard, next: @escaping @Sendable (String) -> Void
  ) async throws -> GoldenRecord {
    let bundle = try ModelBundle.open(card.folder)
    let runtime = try RuntimeChoice.current.runtime(of: bundle.manifest, in: bundle.folder)
    var units: [GoldenRecord.Unit] = []
    for unit in Self.units(of: runtime) {
      next("\(runtime.name) \(unit.rawValue)")
      units.append(try await compare(card, bundle, runtime, unit))
    }
    return GoldenRecord(units: units)
  }

  private static func compare(
    _ card: ModelCard, _ bundle: ModelBundle, _ runtime: Runtime, _ unit: ComputeUnit
  ) async throws -> GoldenRecord.Unit {
    let isApples = ["coreml", "coreai"].contains(runtime.name)
    let version = isApples ? "" : ExecuTorchRunner.version
    do {
      let pipeline = try pipeline(for: card, bundle, runtime, unit: unit)
      let report: GoldenReport
      do {
        report = try await GoldenCheck(pipeline, runtime: runtime).report()
      } catch {
        await pipeline.close()
        throw error
      }
      await pipeline.close()
      return GoldenRecord.Unit(runtime: runtime.name, unit: unit, version: version, report: report)
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      let line = DiffusionError.line(of: error)
      return GoldenRecord.Unit(runtime: runtime.name, unit: unit, version: version, report: nil, error: line)
    }
  }

  /// The units that a runtime can be told to compute on, the fastest first.
  private static func units(of runtime: Runtime) -> [ComputeUnit] {
    switch runtime.name {
    case CoreMLRunner.runtimeName, "coreai": [.all, .neuralEngine, .gpu, .cpu]
    default: [.cpu]
    }
  }

  /// Times every stage of a model; gives the text of `latency.json`.
  static func measure(
    _ card: ModelCard, _ order: BenchmarkOrder, _ verdicts: UnitVerdicts,
    next: @escaping @Sendable (String) -> Void
  ) async throws -> String {
    let pipeline = try await pipeline(for: card, verdicts)
    let request = DrawRequest(prompt: "a red apple, 3d", seed: 7)
    do {
      let report = try await Benchmark(pipeline, runs: order.runs).report(of: request) { next($0.rawValue) }
      await pipeline.close()
      return report.json
    } catch {
      await pipeline.close()
      throw error
    }
  }

  /// Bytes that the system lets the app take; half of the memory where it does not say.
  private static var availableMemory: Int64 {
    #if os(iOS)
      Int64(os_proc_available_memory())
    #else
      Int64(ProcessInfo.processInfo.physicalMemory / 2)
    #endif
  }

  private static func runner(
    for bundle: ModelBundle, _ runtime: Runtime, unit: ComputeUnit?
  ) throws -> any ModelRunner {
    #if canImport(CoreAI)
      if #available(iOS 27, macOS 27, *), runtime.name == CoreAIRunner.runtimeName {
        return try CoreAIRunner(bundle: bundle, unit: unit)
      }
    #endif
    guard runtime.name == CoreMLRunner.runtimeName else { return try ExecuTorchRunner(bundle: bundle) }
    let caches = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask)[0]
    return try CoreMLRunner(bundle: bundle, caches: caches, unit: unit)
  }
}
