import MobileDiffusionKit

/// How much memory a drawing may hold.
public enum MemoryChoice {
  /// Below this many bytes of physical memory one stage is held at a time: 4 GB, half of which an app may use.
  public static let small: UInt64 = 4_500_000_000

  /// The policy for a device with so much physical memory (`ProcessInfo.processInfo.physicalMemory`).
  public static func policy(physicalMemory: UInt64) -> MemoryPolicy {
    physicalMemory < small ? .sequential : .keep
  }
}
