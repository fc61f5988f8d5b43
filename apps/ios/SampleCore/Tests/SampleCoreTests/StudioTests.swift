import MobileDiffusionKit
import XCTest

@testable import SampleCore

@MainActor
final class StudioTests: XCTestCase {
  private func studio(
    _ play: Play, documents: URL,
    measure: @escaping MeasureModel = { _, _, _ in throw DiffusionError("not measured") },
    compare: @escaping CompareModel = { _, _ in throw DiffusionError("not compared") }
  ) -> Studio {
    Studio(
      folders: AppFolders(documents: documents, caches: documents), builtIn: nil,
      defaults: UserDefaults(suiteName: "sample-tests") ?? .standard, open: { _ in play },
      measure: measure, compare: compare, encode: { Data($0.rgb) })
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

  private func record(_ units: [ComputeUnit: Bool]) -> GoldenRecord {
    let order: [ComputeUnit] = [.all, .neuralEngine, .gpu, .cpu]
    return GoldenRecord(
      units: order.filter { units[$0] != nil }.map { unit in
        let check = GoldenReport.Check(
          check: "denoise", step: 0, db: units[unit] == true ? 60 : .nan, maxAbs: 0, limit: 40,
          isPassed: units[unit] == true)
        let one = GoldenReport.Case(prompt: "a cat", seed: 7, checks: [check])
        return .init(
          runtime: "xnnpack", unit: unit, version: "",
          report: GoldenReport(model: "m", precision: "fp32", cases: [one]))
      })
  }

  func testAComparisonFromOutsideLeavesItsRecordAndTheUnitToPrefer() async throws {
    let documents = try emptyFolder()
    try await installModel(in: documents)
    let record = record([.all: false, .gpu: true, .cpu: true])
    let studio = studio(Play(), documents: documents, compare: { _, _ in record })
    let name = try XCTUnwrap(FileManager.default.contentsOfDirectory(atPath: documents.path + "/models").first)
    XCTAssertTrue(studio.start(arguments: ["/app", "--golden", name, "--threads", "4"]))
    await studio.benchmark.finish()
    XCTAssertEqual(studio.benchmark.phase, .compared)
    let folder = AppFolders(documents: documents, caches: documents).golden
    XCTAssertEqual(names(in: folder), ["\(name).json", "\(name).passed"])
    let text = try String(contentsOf: folder.appendingPathComponent("\(name).json"), encoding: .utf8)
    XCTAssertEqual(text, record.json)
    XCTAssertTrue(text.contains("\"snr_db\":null") && text.contains("\"unit\":\"gpu\""), text)
    let card = try XCTUnwrap(studio.models.card)
    XCTAssertEqual(UnitVerdicts(folder: folder).preferred(card, runtime: "xnnpack"), .gpu)
    XCTAssertNil(UnitVerdicts(folder: folder).preferred(card, runtime: "coreml"))
    XCTAssertNil(UnitVerdicts(folder: folder, system: "another").preferred(card, runtime: "xnnpack"))
    XCTAssertNil(UnitVerdicts(folder: folder).preferred(.named(name), runtime: "xnnpack"), "another manifest")
  }

  func testAComparisonThatCannotBeMadeLeavesALine() async throws {
    let documents = try emptyFolder()
    let studio = studio(Play(), documents: documents)
    XCTAssertTrue(studio.start(arguments: ["/app", "--golden", "lost"]))
    await studio.benchmark.finish()
    XCTAssertEqual(names(in: AppFolders(documents: documents, caches: documents).golden), ["lost.error"])
  }

  func testAModelThatWasReplacedIsOpenedAgain() async throws {
    let documents = try emptyFolder()
    try await installModel(in: documents)
    let play = Play()
    let studio = studio(play, documents: documents)
    studio.start(arguments: ["/app"])
    studio.draw.prompt = "a cat"
    for expected in [0, 0, 1] {
      if expected == 1, let folder = studio.models.card?.folder {
        let manifest = folder.appendingPathComponent("manifest.json")
        try (try Data(contentsOf: manifest) + Data(" ".utf8)).write(to: manifest)
      }
      studio.drawPicture()
      await studio.draw.finish()
      let closes = await play.closes
      XCTAssertEqual(closes, expected)
    }
  }

  func testNothingIsDrawnWithoutAModel() async throws {
    let studio = studio(Play(), documents: try emptyFolder())
    studio.start(arguments: ["/app"])
    studio.draw.prompt = "a cat"
    studio.drawPicture()
    XCTAssertEqual(studio.draw.phase, .idle)
  }
}
