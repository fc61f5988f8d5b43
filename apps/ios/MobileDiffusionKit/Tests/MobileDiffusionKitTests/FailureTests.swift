import XCTest

@testable import MobileDiffusionKit

/// Whatever stops a drawing, it stops at once, and memory is given back where the policy says so.
final class FailureTests: FolderTestCase {
  private struct Failure: Error {}

  private func pipeline(_ trajectory: Trajectory, _ runner: ReplayingRunner, _ memory: MemoryPolicy) throws -> Pipeline
  {
    try Pipeline(bundle: try ModelBundle.open(trajectory.bundle), runner: runner, memory: memory)
  }

  /// What is done in a whole drawing, without unloading.
  private func calls(_ trajectory: Trajectory) async throws -> [String] {
    let runner = ReplayingRunner(trajectory.calls)
    for try await _ in try pipeline(trajectory, runner, .keep).draw(trajectory.request) {}
    return await runner.events
  }

  func testAFailureAtEveryCall() async throws {
    let trajectory = try Trajectory("lcm", in: folder)
    let calls = try await calls(trajectory)
    XCTAssertEqual(calls.count, Stage.drawing.count + trajectory.calls.count)
    for (memory, place) in calls.indices.flatMap({ [(MemoryPolicy.keep, $0), (.sequential, $0)] }) {
      let counter = Counter()
      let runner = ReplayingRunner(trajectory.calls) { _ in if await counter.next() == place { throw Failure() } }
      do {
        for try await _ in try pipeline(trajectory, runner, memory).draw(trajectory.request) {}
        XCTFail("expected a failure")
      } catch {
        XCTAssert(error is Failure, "\(error)")
      }
      let (events, isEmpty) = (await runner.events.filter { !$0.hasPrefix("unload") }, await runner.isEmpty)
      XCTAssertEqual(events, Array(calls[...place]))
      XCTAssert(memory == .keep || isEmpty)
    }
  }

  func testCancellationAtEveryCall() async throws {
    let trajectory = try Trajectory("lcm", in: folder)
    let calls = try await calls(trajectory)
    for (memory, place) in calls.indices.flatMap({ [(MemoryPolicy.keep, $0), (.sequential, $0)] }) {
      let (counter, reader) = (Counter(), Reader())
      let runner = ReplayingRunner(trajectory.calls) { _ in
        guard await counter.next() == place else { return }
        await reader.cancel()
        await untilCancelled()
      }
      let pipeline = try pipeline(trajectory, runner, memory)
      let isFinished = await reader.read(pipeline.draw(trajectory.request))
      XCTAssertFalse(isFinished)
      await pipeline.close()  // after the drawing
      let events = await runner.events.filter { !$0.hasPrefix("unload") }
      XCTAssertEqual(events, Array(calls[...place]), "nothing is called after a cancellation")
    }
  }

  func testLeavingTheLoopAtEveryEvent() async throws {
    let trajectory = try Trajectory("lcm", in: folder)
    for place in 0..<Stage.drawing.count + trajectory.calls.count - 1 {
      let runner = ReplayingRunner(trajectory.calls)
      let pipeline = try pipeline(trajectory, runner, .sequential)
      var count = 0
      for try await _ in pipeline.draw(trajectory.request) {
        if count == place { break }
        count += 1
      }
      XCTAssertEqual(count, place)
      await pipeline.close()
      let isEmpty = await runner.isEmpty
      XCTAssert(isEmpty)
    }
  }

  func testADrawingAfterACancelledOne() async throws {
    let trajectory = try Trajectory("lcm", in: folder)
    let (counter, reader) = (Counter(), Reader())
    let runner = ReplayingRunner(Array(trajectory.calls[..<1]) + trajectory.calls) { _ in
      guard await counter.next() == 1 else { return }
      await reader.cancel()
      await untilCancelled()
    }
    let pipeline = try pipeline(trajectory, runner, .keep)
    let isFinished = await reader.read(pipeline.draw(trajectory.request))
    XCTAssertFalse(isFinished)
    var last: DrawEvent?
    for try await event in pipeline.draw(trajectory.request) { last = event }
    guard case .finished(let picture, _) = last else { return XCTFail("expected a picture") }
    XCTAssertEqual(sha256(picture.rgb), try trajectory.picture.text("sha256"))
  }

  func testOutputsThatAreNotTheManifests() async throws {
    let trajectory = try Trajectory("ddim", in: folder)
    let bundle = try ModelBundle.open(trajectory.bundle)
    let right = TensorValue.floats(Array(repeating: 0, count: 24 * 32), shape: [1, 24, 32])
    for (outputs, message) in [
      ([:], "expected the output context, got none"),
      (["context": .floats([1], shape: [1])], "expected float32 of shape [1, 24, 32] for context, got 1 of float32"),
      (["context": .integers([1], shape: [1, 24, 32])], "got 1 of int32"),
      (["context": right], "expected the output latents, got none"),
    ] as [([String: TensorValue], String)] {
      let pipeline = try Pipeline(bundle: bundle, runner: FixedRunner(outputs: outputs))
      do {
        for try await _ in pipeline.draw(trajectory.request) {}
        XCTFail("expected to be refused: \(message)")
      } catch {
        XCTAssert("\(error)".contains(message), "\(error)")
      }
    }
  }

  func testLatentsThatAreNotFinite() async throws {
    let trajectory = try Trajectory("ddim", in: folder)
    let context = TensorValue.floats(Array(repeating: 0, count: 24 * 32), shape: [1, 24, 32])
    let latents = TensorValue.floats([.nan] + Array(repeating: 0, count: 255), shape: [1, 4, 8, 8])
    let runner = FixedRunner(outputs: ["context": context, "latents": latents])
    let pipeline = try Pipeline(bundle: try ModelBundle.open(trajectory.bundle), runner: runner)
    do {
      for try await _ in pipeline.draw(trajectory.request) {}
      XCTFail("expected to be refused")
    } catch {
      XCTAssert("\(error)".contains("latents: expected finite values, got 1 NaN or infinite of 256"), "\(error)")
    }
  }
}

/// Waits until the task that calls has been told of its cancellation.
private func untilCancelled() async {
  let deadline = ContinuousClock.now + .seconds(20)
  while !Task.isCancelled, ContinuousClock.now < deadline { await Task.yield() }
  XCTAssert(Task.isCancelled)
}

/// Counts calls from 0.
private actor Counter {
  private var count = -1

  func next() -> Int {
    count += 1
    return count
  }
}

/// Reads a drawing in a task that can be cancelled.
private actor Reader {
  private var task: Task<Bool, Never>?
  private var isCancelled = false

  /// Whether the picture came.
  func read(_ stream: AsyncThrowingStream<DrawEvent, any Error>) async -> Bool {
    let task = Task {
      do {
        for try await case .finished in stream { return true }
      } catch {
        XCTAssert(error is CancellationError, "\(error)")
      }
      return false
    }
    self.task = task
    if isCancelled { task.cancel() }
    return await task.value
  }

  func cancel() {
    isCancelled = true
    task?.cancel()
  }
}

/// Gives the same outputs for every call.
private struct FixedRunner: ModelRunner {
  let description = RunnerDescription(name: "fixed", version: "", threads: nil)
  let outputs: [String: TensorValue]

  func load(_ stage: Stage) {}
  func unload(_ stage: Stage) {}
  func run(_ stage: Stage, _ inputs: [String: TensorValue]) -> [String: TensorValue] { outputs }
}
