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
  /// A pipeline; it holds one stage at a time where the model does not fit in what the app may still take.
  ///
  /// Throws one line when the bundle is damaged or has programs for no runtime of this app.
  static func pipeline(for card: ModelCard) async throws -> Pipeline {
    let bundle = try ModelBundle.open(card.folder)
    let policy = MemoryChoice.policy(bytes: card.bytes, available: availableMemory)
    return try Pipeline(bundle: bundle, runner: try runner(for: bundle), memory: policy)
  }

  /// Times every stage of a model; gives the text of `latency.json`.
  static func measure(
    _ card: ModelCard, _ order: BenchmarkOrder, next: @escaping @Sendable (String) -> Void
  ) async throws -> String {
    let pipeline = try await pipeline(for: card)
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

  private static func runner(for bundle: ModelBundle) throws -> any ModelRunner {
    let runtime = try RuntimeChoice.current.runtime(of: bundle.manifest, in: bundle.folder)
    #if canImport(CoreAI)
      if #available(iOS 27, macOS 27, *), runtime.name == CoreAIRunner.runtimeName {
        return try CoreAIRunner(bundle: bundle)
      }
    #endif
    guard runtime.name == CoreMLRunner.runtimeName else { return try ExecuTorchRunner(bundle: bundle) }
    let caches = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask)[0]
    return try CoreMLRunner(bundle: bundle, caches: caches)
  }
}
