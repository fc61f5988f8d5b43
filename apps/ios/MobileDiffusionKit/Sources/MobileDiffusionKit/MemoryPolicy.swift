/// How many stages are held in memory.
public enum MemoryPolicy: Sendable {
  /// All of them, from one picture to the next.
  case keep
  /// One at a time, and none between pictures: slower, as stages are loaded for every picture.
  case sequential
}
