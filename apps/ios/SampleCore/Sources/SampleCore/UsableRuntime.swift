import MobileDiffusionKit

extension Manifest {
  /// Runtimes that the app has.
  static let known = ["coreml", "xnnpack"]

  /// The runtime that the app takes: the primary one if it has it, else the first that it has.
  ///
  /// So an iOS bundle is drawn by Core ML, and an Android bundle by ExecuTorch.  Throws a line when there is none.
  public func usableRuntime() throws -> Runtime {
    let usable = runtimes.filter { Self.known.contains($0.name) }
    if let runtime = usable.first(where: \.isPrimary) ?? usable.first { return runtime }
    let given = runtimes.map(\.name).joined(separator: ", ")
    throw DiffusionError(
      "manifest.json: runtimes: expected one of \(Self.known.joined(separator: ", ")), got \(given); "
        + "export the bundle with `--runtime xnnpack`, or for ios")
  }
}
