import MobileDiffusionKit
import XCTest

@testable import SampleCore

@MainActor
final class StudioTests: XCTestCase {
  private func studio(
    _ play: Play, documents: URL,
    measure: @escaping MeasureModel = { _, _, _ in throw DiffusionError("not measured") }
  ) -> Studio {
    Studio(
      folders: AppFolders(documents: documents, caches: documents), builtIn: nil,
      defaults: UserDefaults(suiteName: "sample-tests") ?? .standard, open: { _ in play },
      measure: measure, encode: { Data($0.rgb) })
  }

  private func installModel(in documents: URL) async throws {
    let models = AppFolders(documents: documents, caches: documents).models
    _ = try await BundleInstaller(models: models).install(from: try smallBundle())
  }

  func testAPictureGoesIntoTheHistoryAndMemoryIsGivenBack() async throws {
    let documents = try emptyFolder()
    try await installModel(in: documents)
    let play = Play()
    let studio = studio(play, documents: documents)
    XCTAssertFalse(studio.start(arguments: ["/app"]))
    XCTAssertEqual(studio.draw.guidance, studio.models.card?.guidance)
    studio.draw.prompt = "a cat"
    studio.drawPicture()
    await studio.draw.finish()
    XCTAssertEqual(studio.draw.phase, .finished)
    XCTAssertEqual(studio.history.drawings.map(\.prompt), ["a cat"])
    XCTAssertEqual(studio.history.drawings.first, studio.draw.drawing)
    studio.unload()
    for _ in 0..<500 {
      if await play.unloads > 0 { break }
      try await Task.sleep(for: .milliseconds(2))
    }
    let unloads = await play.unloads
    XCTAssertEqual(unloads, 1)
  }

  func testABenchmarkWaitsForTheDrawingAndTheModelIsGivenUpFirst() async throws {
    let documents = try emptyFolder()
    try await installModel(in: documents)
    let play = Play(.wait)
    let studio = studio(play, documents: documents) { _, _, _ in
      let closes = await play.closes
      throw DiffusionError("measured after \(closes) models were given up")
    }
    studio.start(arguments: ["/app"])
    studio.draw.prompt = "a cat"
    studio.drawPicture()
    while studio.draw.phase == .preparing { try await Task.sleep(for: .milliseconds(2)) }
    studio.measureModel()
    try await Task.sleep(for: .milliseconds(50))
    XCTAssertTrue(studio.benchmark.isMeasuring, "it waits")
    studio.draw.cancel()
    await studio.draw.finish()
    await studio.benchmark.finish()
    XCTAssertEqual(studio.benchmark.phase, .failed("measured after 1 models were given up"))
  }

  func testADrawingThatWaitsForABenchmarkCanBeCancelled() async throws {
    let documents = try emptyFolder()
    try await installModel(in: documents)
    let play = Play()
    let studio = studio(play, documents: documents) { _, _, _ in
      try await Task.sleep(for: .seconds(60))
      return ""
    }
    studio.start(arguments: ["/app"])
    studio.measureModel()
    try await Task.sleep(for: .milliseconds(50))
    studio.draw.prompt = "a cat"
    studio.drawPicture()
    try await Task.sleep(for: .milliseconds(50))
    XCTAssertEqual(studio.draw.phase, .preparing)
    studio.draw.cancel()
    await studio.draw.finish()
    XCTAssertEqual(studio.draw.phase, .cancelled)
    studio.benchmark.cancel()
    await studio.benchmark.finish()
    let requests = await play.requests
    XCTAssertTrue(requests.isEmpty)
  }

  func testABenchmarkOfAModelThatIsNotThereLeavesALine() async throws {
    let documents = try emptyFolder()
    let studio = studio(Play(), documents: documents)
    XCTAssertTrue(studio.start(arguments: ["/app", "--benchmark", "lost"]))
    await studio.benchmark.finish()
    let folder = AppFolders(documents: documents, caches: documents).benchmark
    XCTAssertEqual(names(in: folder), ["lost.error"])
    let text = try String(contentsOf: folder.appendingPathComponent("lost.error"), encoding: .utf8)
    XCTAssertEqual(text, "lost: expected a model among none; copy it to Documents/models\n")
  }

  func testNothingIsDrawnWithoutAModel() async throws {
    let studio = studio(Play(), documents: try emptyFolder())
    studio.start(arguments: ["/app"])
    studio.draw.prompt = "a cat"
    studio.drawPicture()
    XCTAssertEqual(studio.draw.phase, .idle)
  }
}
