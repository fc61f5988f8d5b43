import MobileDiffusionKit
import XCTest

@testable import SampleCore

@MainActor
final class StudioTests: XCTestCase {
  private func studio(_ play: Play, documents: URL) -> Studio {
    Studio(
      folders: AppFolders(documents: documents), builtIn: nil,
      defaults: UserDefaults(suiteName: "sample-tests") ?? .standard, open: { _ in play },
      measure: { _, _, _ in throw DiffusionError("not measured") }, encode: { Data($0.rgb) })
  }

  func testAPictureGoesIntoTheHistoryAndMemoryIsGivenBack() async throws {
    let documents = try emptyFolder()
    _ = try await BundleInstaller(models: AppFolders(documents: documents).models).install(from: try smallBundle())
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

  func testABenchmarkOfAModelThatIsNotThereLeavesALine() async throws {
    let documents = try emptyFolder()
    let studio = studio(Play(), documents: documents)
    XCTAssertTrue(studio.start(arguments: ["/app", "--benchmark", "lost"]))
    await studio.benchmark.finish()
    let folder = AppFolders(documents: documents).benchmark
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
