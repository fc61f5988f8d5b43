import XCTest

@testable import MobileDiffusionKit

/// Recorded drawings are drawn again: the same calls in the same order with the same inputs, the same picture.
final class PipelineTests: FolderTestCase {
  private func draw(_ pipeline: Pipeline, _ request: DrawRequest) async throws -> [DrawEvent] {
    var events: [DrawEvent] = []
    for try await event in pipeline.draw(request) { events.append(event) }
    return events
  }

  private func check(_ name: String, _ memory: MemoryPolicy) async throws -> [String] {
    let trajectory = try Trajectory(name, in: folder)
    let runner = ReplayingRunner(trajectory.calls)
    let pipeline = try Pipeline(bundle: try ModelBundle.open(trajectory.bundle), runner: runner, memory: memory)
    let events = try await draw(pipeline, trajectory.request)
    guard case .finished(let picture, let milliseconds) = try XCTUnwrap(events.last) else {
      XCTFail("expected a picture")
      return []
    }
    XCTAssertGreaterThan(milliseconds, 0)
    XCTAssertEqual(picture.width, try trajectory.picture.whole("width"))
    XCTAssertEqual(picture.height, try trajectory.picture.whole("height"))
    XCTAssertEqual(sha256(picture.rgb), try trajectory.picture.text("sha256"))
    try checkSteps(events, trajectory)
    let rest = await runner.rest
    XCTAssertEqual(rest, 0)
    return await runner.events
  }

  private func checkSteps(_ events: [DrawEvent], _ trajectory: Trajectory) throws {
    let count = trajectory.steps
    var (seen, previews) = ([Int](), [Picture]())
    for case .step(let step, let steps, let preview) in events {
      XCTAssertEqual(steps, count)
      seen.append(step)
      if let preview { previews.append(preview) }
    }
    let schedule = try ModelBundle.open(trajectory.bundle).manifest.schedule
    let made = schedule.rows(skipped: trajectory.skipped).count
    XCTAssertEqual(seen, Array(count - made + 1...count))
    XCTAssertEqual(previews.map { sha256($0.rgb) }, try trajectory.previews.map { try $0.text("sha256") })
    XCTAssertEqual(previews.map(\.width), try trajectory.previews.map { try $0.whole("width") })
  }

  func testDDIM() async throws { _ = try await check("ddim", .keep) }
  func testSolverWithMemory() async throws { _ = try await check("multistep", .keep) }
  func testNoiseAtEachStep() async throws { _ = try await check("lcm", .keep) }
  func testNoGuidance() async throws { _ = try await check("unguided", .keep) }
  func testWeightsOfTheWebUIAndTwoWindows() async throws { _ = try await check("weights", .keep) }
  func testWeightsOfCompelAndTwoWindows() async throws { _ = try await check("compel", .keep) }
  func testTwoTokenizersAndZerosForNoNegativePrompt() async throws { _ = try await check("sdxl", .keep) }
  func testTwoTokenizersAndGuidanceInAPartOfTheSteps() async throws { _ = try await check("sdxl-interval", .keep) }
  func testGuidanceInAPartOfTheSteps() async throws { _ = try await check("interval", .keep) }

  func testFromAPictureOnRowsOfItsOwn() async throws {
    for memory in [MemoryPolicy.keep, .sequential] {
      let events = try await check("image", memory).filter { $0.hasPrefix("load") }
      XCTAssertEqual(events, ["encode_text", "encode_image", "denoise", "decode_image"].map { "load \($0)" })
    }
  }

  func testHintsOfTwoControlNets() async throws {
    for memory in [MemoryPolicy.keep, .sequential] {
      let events = try await check("hints", memory).filter { $0.hasPrefix("load") }
      XCTAssertEqual(events, ["encode_text", "encode_hint", "denoise", "decode_image"].map { "load \($0)" })
    }
  }

  func testHintsAMaskAndGuidanceInAPartOfTheSteps() async throws { _ = try await check("hints-interval", .keep) }
  func testAPartOfAPictureDrawnAnew() async throws { _ = try await check("mask", .keep) }
  func testANetworkThatInpaints() async throws { _ = try await check("inpaint", .keep) }
  func testANetworkThatInpaintsWithoutAPicture() async throws { _ = try await check("inpaint-all", .keep) }
  func testANetworkThatEditsAPicture() async throws { _ = try await check("edit", .keep) }
  func testANetworkThatEditsAPictureWithoutGuidance() async throws { _ = try await check("edit-unguided", .keep) }

  func testAStartThatCannotBeUsedIsOneLineBeforeAnythingIsLoaded() async throws {
    let picture = Picture(width: 16, height: 16, rgb: [UInt8](repeating: 9, count: 768))
    let small = Picture(width: 8, height: 16, rgb: [UInt8](repeating: 9, count: 384))
    let whole = [UInt8](repeating: 1, count: 256)
    let refused: [(String, Start?, String)] = [
      ("mask", Start(picture: small), "picture: expected 16 x 16 pixels, got 8 x 16"),
      ("mask", Start(picture: picture, strength: 0), "strength: expected a number above 0"),
      ("mask", Start(picture: picture, strength: .nan), "strength: expected a number above 0"),
      ("mask", Start(picture: picture, strength: 0.3), "strength: expected 1/3 or more for 3 steps, got 0.3"),
      ("mask", Start(picture: picture, mask: [1]), "mask: expected 256 values, got 1"),
      ("inpaint", Start(picture: picture), "mask: expected one with the picture"),
      ("inpaint", Start(picture: picture, mask: [1]), "mask: expected 256 values, got 1"),
      ("image", Start(picture: picture, imageGuidance: 2), "image guidance: expected none"),
      ("edit", nil, "picture: expected one, as this model edits"),
      ("edit", Start(picture: picture, mask: whole), "mask: expected none"),
      ("edit", Start(picture: picture, strength: 0.5), "strength: expected 1, as this model makes every step"),
      ("edit", Start(picture: picture, imageGuidance: 0.9), "image guidance: expected a number from 1 to 30"),
      ("edit", Start(picture: picture, imageGuidance: .nan), "image guidance: expected a number from 1 to 30"),
      ("ddim", Start(picture: picture), "--image-to-image"),
    ]
    for (name, start, message) in refused {
      let trajectory = try Trajectory(name, in: folder)
      let runner = ReplayingRunner(trajectory.calls)
      let pipeline = try Pipeline(bundle: try ModelBundle.open(trajectory.bundle), runner: runner)
      var request = trajectory.request
      request.start = start
      do {
        _ = try await draw(pipeline, request)
        XCTFail(message)
      } catch {
        XCTAssert("\(error)".contains(message), "\(error)")
      }
      let events = await runner.events
      XCTAssertEqual(events, [])
    }
  }

  func testANegativePromptWithoutGuidanceIsSaidToHaveNoEffect() throws {
    for (name, guidance, isUsed) in [
      ("ddim", 0.5, false), ("ddim", 1.5, true), ("unguided", -1, false), ("lcm", nil, true),
    ] as [(String, Double?, Bool)] {
      let schedule = try ModelBundle.open(try Trajectory(name, in: folder).bundle).manifest.schedule
      let line = DrawRequest(prompt: "a", negative: "b", guidance: guidance).unusedNegative(schedule)
      let scale = guidance?.short ?? ""
      XCTAssertEqual(
        line, isUsed ? nil : "negative prompt: it has no effect at guidance \(scale); use a guidance above 1")
      XCTAssertNil(DrawRequest(prompt: "a", guidance: guidance).unusedNegative(schedule))
    }
  }

  func testNoiseAndTwoRememberedTensors() async throws { _ = try await check("sde", .keep) }

  func testOneStageAtATime() async throws {
    for name in ["ddim", "lcm"] {
      let events = try await check(name, .sequential).filter { !$0.hasPrefix("run") }
      XCTAssertEqual(
        events, ["encode_text", "denoise", "decode_image"].flatMap { ["load \($0)", "unload \($0)"] })
    }
  }

  func testStagesAreKeptUntilTheyAreUnloaded() async throws {
    let trajectory = try Trajectory("ddim", in: folder)
    let runner = ReplayingRunner(trajectory.calls + trajectory.calls + trajectory.calls)
    let pipeline = try Pipeline(bundle: try ModelBundle.open(trajectory.bundle), runner: runner)
    let first = try await draw(pipeline, trajectory.request)
    let second = try await draw(pipeline, trajectory.request)
    let loads = { (events: [DrawEvent]) in events.filter { if case .loading = $0 { true } else { false } }.count }
    XCTAssertEqual([loads(first), loads(second)], [3, 0])
    await pipeline.unload()
    let isEmpty = await runner.isEmpty
    XCTAssert(isEmpty)
    let third = try await draw(pipeline, trajectory.request)
    XCTAssertEqual(loads(third), 3)
  }

  func testMemoryIsGivenBackBetweenTwoSteps() async throws {
    let trajectory = try Trajectory("ddim", in: folder)
    let holder = Holder()
    let runner = ReplayingRunner(trajectory.calls) { event in
      if event == "run denoise" { await holder.pipeline?.unload() }
    }
    let pipeline = try Pipeline(bundle: try ModelBundle.open(trajectory.bundle), runner: runner)
    await holder.hold(pipeline)
    _ = try await draw(pipeline, trajectory.request)
    let events = await runner.events
    let steps = pipeline.bundle.manifest.schedule.steps
    XCTAssertEqual(events.filter { $0 == "load denoise" }.count, steps)
    XCTAssertEqual(events.filter { $0 == "unload denoise" }.count, steps)
    XCTAssertEqual(events.suffix(2), ["load decode_image", "run decode_image"])
  }

  func testAClosedPipelineLoadsNothing() async throws {
    let trajectory = try Trajectory("ddim", in: folder)
    let runner = ReplayingRunner(trajectory.calls + trajectory.calls)
    let pipeline = try Pipeline(bundle: try ModelBundle.open(trajectory.bundle), runner: runner)
    _ = try await draw(pipeline, trajectory.request)
    await pipeline.close()
    do {
      _ = try await draw(pipeline, trajectory.request)
      XCTFail("it drew")
    } catch let error as DiffusionError {
      XCTAssertEqual(error.description, "encode_text: expected an open model, got one that was closed; draw again")
    }
    let isEmpty = await runner.isEmpty
    XCTAssert(isEmpty)
  }

  func testDrawingsTakeTurns() async throws {
    let trajectory = try Trajectory("lcm", in: folder)
    let runner = ReplayingRunner(trajectory.calls + trajectory.calls + trajectory.calls) { _ in await Task.yield() }
    let pipeline = try Pipeline(bundle: try ModelBundle.open(trajectory.bundle), runner: runner, memory: .sequential)
    let request = trajectory.request
    try await withThrowingTaskGroup(of: DrawEvent?.self) { group in
      for _ in 0..<3 {
        group.addTask {
          var last: DrawEvent?
          for try await event in pipeline.draw(request) { last = event }
          return last
        }
      }
      for try await last in group {
        guard case .finished(let picture, _) = last else { return XCTFail("expected a picture") }
        XCTAssertEqual(sha256(picture.rgb), try trajectory.picture.text("sha256"))
      }
    }
  }

  func testBadRequestsLoadNothing() async throws {
    for (name, change, message) in [
      ("ddim", { $0.guidance = 31 }, "guidance: expected a number up to 30, got 31"),
      ("ddim", { $0.guidance = -.infinity }, "guidance: expected a number up to 30, got -inf"),
      ("ddim", { $0.guidance = .nan }, "guidance: expected a number up to 30, got nan"),
      ("unguided", { $0.guidance = 2 }, "exported without guidance, got 2; export it with --guidance 2"),
      ("ddim", { $0.prompt = "a\0b" }, "without NUL bytes"), ("ddim", { $0.negative = "\0" }, "without NUL bytes"),
      ("lcm", { $0.negative = "a dog" }, "negative prompt: expected none"),
      ("lcm", { $0.guidance = 2 }, "which it was distilled with, got 2"),
    ] as [(String, (inout DrawRequest) -> Void, String)] {
      let trajectory = try Trajectory(name, in: folder)
      let runner = ReplayingRunner([])
      let pipeline = try Pipeline(bundle: try ModelBundle.open(trajectory.bundle), runner: runner)
      var request = trajectory.request
      change(&request)
      do {
        _ = try await draw(pipeline, request)
        XCTFail("expected to be refused: \(message)")
      } catch {
        XCTAssert("\(error)".contains(message), "\(error)")
      }
      let events = await runner.events
      XCTAssertEqual(events, [])
    }
  }
}

/// The pipeline that a runner's test gives memory back to.
private actor Holder {
  private(set) var pipeline: Pipeline?

  func hold(_ pipeline: Pipeline) {
    self.pipeline = pipeline
  }
}
