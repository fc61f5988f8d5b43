import Dispatch

/// A thread of its own for an actor whose calls take seconds: the few threads that all tasks share are not for that.
public final class StageQueue: SerialExecutor {
  private let queue: DispatchQueue

  /// `name` is what a debugger calls it.
  public init(_ name: String) {
    queue = DispatchQueue(label: name, qos: .userInitiated)
  }

  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
  }
}
