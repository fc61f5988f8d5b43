import Foundation

/// Which runtime of a bundle an app takes: the newest one that the app has and the system can run.
public struct RuntimeChoice: Equatable, Sendable {
  /// Runtimes that the app was built with.
  public let names: [String]
  /// The system's version as the number of an iOS release: 17, 18, 26, 27.
  public let system: Int

  public init(names: [String], system: Int) {
    (self.names, self.system) = (names, system)
  }

  /// That of an app that links all runners of this package, on this system.
  public static var current: RuntimeChoice {
    let others = ["coreml", "executorch", "xnnpack"]
    #if canImport(CoreAI)
      return RuntimeChoice(names: ["coreai"] + others, system: systemVersion)
    #else
      return RuntimeChoice(names: others, system: systemVersion)
    #endif
  }

  /// The runtime to draw with: among those with the newest `deployment_target` that the system has reached, the primary
  /// one, else the first.
  ///
  /// With a `folder`, a runtime that lacks a program there does not count: a model that was installed before the system
  /// was updated has the programs of the runtime that was taken then. Throws a line when none is left.
  public func runtime(of manifest: Manifest, in folder: URL? = nil) throws -> Runtime {
    let usable = manifest.runtimes.filter { runtime in
      names.contains(runtime.name) && runtime.oldestSystem ?? 0 <= system && isHeld(runtime, in: folder)
    }
    let newest = usable.compactMap(\.oldestSystem).max()
    let candidates = usable.filter { $0.oldestSystem == newest }
    if let runtime = candidates.first(where: \.isPrimary) ?? candidates.first { return runtime }
    let given = manifest.runtimes.map { runtime in
      [runtime.name, runtime.settings["deployment_target"]].compactMap { $0 }.joined(separator: " for ")
    }
    throw DiffusionError(
      "manifest.json: runtimes: expected one of \(names.joined(separator: ", ")) for this system, got "
        + "\(given.joined(separator: ", ")); export the bundle for ios, or with `--runtime xnnpack`")
  }

  private func isHeld(_ runtime: Runtime, in folder: URL?) -> Bool {
    guard let folder else { return true }
    return runtime.artifacts.allSatisfy { artifact in
      !Stage.drawing.contains(artifact.stage)
        || FileManager.default.fileExists(atPath: folder.appendingPathComponent(artifact.path).path)
    }
  }

  private static var systemVersion: Int {
    let major = ProcessInfo.processInfo.operatingSystemVersion.majorVersion
    #if os(macOS)
      return major < 26 ? major + 3 : major  // macOS 15 came with iOS 18; from 26 on they have one number
    #elseif os(Linux)
      return Int.max  // no phone: every runtime that is linked can be tried
    #else
      return major
    #endif
  }
}

extension Runtime {
  /// The oldest iOS release that opens the programs; nil when the bundle does not say, and beyond all releases when it
  /// says something else.
  fileprivate var oldestSystem: Int? {
    guard let target = settings["deployment_target"] else { return nil }
    return target.hasPrefix("iOS") ? Int(target.dropFirst(3)) ?? .max : .max
  }
}
