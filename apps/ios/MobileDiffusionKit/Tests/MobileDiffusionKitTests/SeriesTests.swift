import XCTest

@testable import MobileDiffusionKit

/// Several pictures of one request: what does not depend on the seed is computed once.
final class SeriesTests: FolderTestCase {
  private func calls(_ trajectory: Trajectory, _ request: DrawRequest, pictures: Int) async throws -> [String] {
    let runner = EchoRunner(trajectory.calls)
    let pipeline = try Pipeline(bundle: try ModelBundle.open(trajectory.bundle), runner: runner)
    var finished = 0
    for try await case .finished in pipeline.draw(request, pictures: pictures) { finished += 1 }
    XCTAssertEqual(finished, pictures)
    return await runner.calls
  }

  private func check(_ name: String) async throws {
    let trajectory = try Trajectory(name, in: folder)
    var next = trajectory.request
    next.seed += 1
    let second = try await calls(trajectory, next, pictures: 1)
    let drawn = second.filter { !$0.hasPrefix("encode_") }
    XCTAssertLessThan(drawn.count, second.count)
    let first = try await calls(trajectory, trajectory.request, pictures: 1)
    let both = try await calls(trajectory, trajectory.request, pictures: 2)
    XCTAssertEqual(both, first + drawn, name)
  }

  func testTextIsEncodedOnce() async throws {
    for name in ["ddim", "sde", "compel"] { try await check(name) }
  }

  func testPicturesAreEncodedOnce() async throws {
    for name in ["mask", "inpaint", "edit"] { try await check(name) }
  }

  func testHintsAreEncodedOnce() async throws {
    try await check("hints")
  }

  func testSeedsThatEndBeforeThePicturesDo() throws {
    XCTAssertThrowsError(try DrawRequest(prompt: "a", seed: .max - 1).series(3)) {
      XCTAssertEqual(
        ($0 as? DiffusionError)?.description,
        "seed: expected 3 seeds from it on, got 18446744073709551614; take a smaller one")
    }
  }
}

/// Gives what was recorded of a stage, whatever it is given, and keeps a line of each call's inputs.
private actor EchoRunner: ModelRunner {
  nonisolated let description = RunnerDescription(name: "echo", version: "1", threads: 1)
  private let recorded: [JSON]
  private(set) var calls: [String] = []

  init(_ recorded: [JSON]) {
    self.recorded = recorded
  }

  func load(_ stage: Stage) {}

  func unload(_ stage: Stage) {}

  func run(_ stage: Stage, _ inputs: [String: TensorValue]) throws -> [String: TensorValue] {
    let given = inputs.sorted { $0.key < $1.key }.map { "\($0.key) \(sha256($0.value.bytes))" }
    calls.append(([stage.rawValue] + given).joined(separator: " "))
    let call = try XCTUnwrap(recorded.first { try $0.text("stage") == stage.rawValue })
    return try recordedOutputs(of: call)
  }
}
