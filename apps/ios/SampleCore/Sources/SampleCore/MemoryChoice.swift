import MobileDiffusionKit

/// How much memory a drawing may hold.
public enum MemoryChoice {
  /// Memory of a loaded program by its file: a runtime packs its weights, which may be stored in half, in float32.
  public static let packed: Int64 = 2

  /// The policy for a model of so many bytes in an app that may still take so many (`os_proc_available_memory`).
  public static func policy(bytes: Int64, available: Int64) -> MemoryPolicy {
    packed * bytes <= available ? .keep : .sequential
  }
}
