import XCTest

@testable import MobileDiffusionKit

/// Times are those of all calls but the first ones, in the form of latency.json.
final class BenchmarkTests: FolderTestCase {
  func testQuartilesAreNumpys() {
    let times = LatencyReport.Times(stage: .denoise, milliseconds: [4, 1, 3, 2])
    XCTAssertEqual([0.25, 0.5, 0.75].map(times.percentile), [1.75, 2.5, 3.25])
    XCTAssertEqual(LatencyReport.Times(stage: .denoise, milliseconds: [7]).percentile(0.75), 7)
  }

  func testStagesInOrder() async throws {
    let trajectory = try Trajectory("ddim", in: folder)
    let calls = trajectory.calls
    let (text, step, image) = (calls[0], calls[2], calls[10])
    // The image is decoded from the latents of the first step here; a runner that does not look does for it.
    let runs = 3
    let order = [text, calls[1], step] + [text, step].flatMap { Array(repeating: $0, count: Benchmark.warmUp + runs) }
    let runner = TimedRunner(replay: ReplayingRunner(order), image: image)
    let pipeline = try Pipeline(bundle: try ModelBundle.open(trajectory.bundle), runner: runner, memory: .sequential)
    let seen = Seen()
    let report = try await Benchmark(pipeline, runs: runs).report(of: trajectory.request) { seen.add($0) }
    XCTAssertEqual(seen.stages, Stage.drawing)
    XCTAssertEqual(report.stages.map(\.milliseconds.count), [runs, runs, runs])
    XCTAssert(report.stages.allSatisfy { $0.milliseconds.allSatisfy { $0 >= 0 } })
    let json = try JSON.parse(Array(report.json.utf8), in: "latency.json")
    let names = try json.list("runners")[0].list("stages").map { try $0.text("stage") }
    XCTAssertEqual(names, Stage.drawing.map(\.rawValue))
    XCTAssertFalse(try json.member("conditions").text("processor").isEmpty)
    XCTAssertGreaterThan(try json.member("conditions").whole("cores"), 0)
  }
}

/// Which stages were told, in order.
private final class Seen: @unchecked Sendable {
  private let lock = NSLock()
  private var found: [Stage] = []

  var stages: [Stage] { lock.withLock { found } }
  func add(_ stage: Stage) { lock.withLock { found.append(stage) } }
}

/// A replay that gives the recorded image for any latents.
private struct TimedRunner: ModelRunner {
  let description = RunnerDescription(name: "replay", version: "1", threads: nil)
  let replay: ReplayingRunner
  let image: JSON

  func load(_ stage: Stage) async throws { try await replay.load(stage) }
  func unload(_ stage: Stage) async { await replay.unload(stage) }

  func run(_ stage: Stage, _ inputs: [String: TensorValue]) async throws -> [String: TensorValue] {
    guard stage == .decodeImage else { return try await replay.run(stage, inputs) }
    let shape = try XCTUnwrap(image["outputs"]?["image"]).wholes("shape")
    return ["image": .floats(Array(repeating: 0, count: shape.reduce(1, *)), shape: shape)]
  }
}
