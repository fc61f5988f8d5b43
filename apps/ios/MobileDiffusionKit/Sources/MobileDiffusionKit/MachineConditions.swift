import Foundation

extension LatencyReport.Conditions {
  /// Those of this machine, now.
  public static func now() -> LatencyReport.Conditions {
    var load = 0.0
    let isKnown = getloadavg(&load, 1) == 1
    return LatencyReport.Conditions(
      processor: processor, cores: ProcessInfo.processInfo.processorCount, system: system, load: isKnown ? load : nil,
      thermal: thermal)
  }

  private static var thermal: String {
    #if canImport(Darwin)
      switch ProcessInfo.processInfo.thermalState {
      case .nominal: return "nominal"
      case .fair: return "fair"
      case .serious: return "serious"
      case .critical: return "critical"
      @unknown default: return ""
      }
    #else
      return ""
    #endif
  }

  private static var processor: String {
    let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(separator: "\n") ?? []
    let line = lines.first { $0.hasPrefix("model name") }
    return line?.split(separator: ":", maxSplits: 1).last.map { $0.trimmingCharacters(in: .whitespaces) }
      ?? machine
  }

  private static var system: String {
    let version = ProcessInfo.processInfo.operatingSystemVersion
    let number = "\(version.majorVersion).\(version.minorVersion).\(version.patchVersion)"
    #if os(iOS)
      return "iOS \(number)"
    #elseif os(macOS)
      return "macOS \(number) \(machine)"
    #else
      return "Linux \(machine)"
    #endif
  }

  /// The machine's own name for itself: "iPhone15,2", "arm64", "x86_64".
  private static var machine: String {
    var names = utsname()
    uname(&names)
    return withUnsafeBytes(of: names.machine) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}
