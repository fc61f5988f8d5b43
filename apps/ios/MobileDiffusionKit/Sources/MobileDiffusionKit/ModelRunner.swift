/// Runs the stages of a bundle: Core ML, ExecuTorch, or a play of recorded calls in tests.
///
/// Calls come one at a time; a stage is loaded before it is run. A runner keeps no stage in memory that it was not told
/// to load, or was told to unload.
public protocol ModelRunner: Sendable {
  /// What `latency.json` says of it.
  var description: RunnerDescription { get }

  /// Brings a stage into memory; throws one line when its program cannot be used or memory is short.
  func load(_ stage: Stage) async throws

  /// Gives a stage's memory back; nothing happens when it is not loaded.
  func unload(_ stage: Stage) async

  /// Runs a loaded stage: the tensors that the manifest names in, and out.
  ///
  /// Throws one line when the tensors are not those of the manifest or the runtime fails.
  func run(_ stage: Stage, _ inputs: [String: TensorValue]) async throws -> [String: TensorValue]
}

/// A runtime as a report of times names it.
public struct RunnerDescription: Equatable, Sendable {
  /// Such as "coreml".
  public let name: String
  /// Of the runtime; "" where it has none of its own.
  public let version: String
  /// As given to the runtime; nil where it chooses by itself.
  public let threads: Int?

  public init(name: String, version: String, threads: Int?) {
    self.name = name
    self.version = version
    self.threads = threads
  }
}
