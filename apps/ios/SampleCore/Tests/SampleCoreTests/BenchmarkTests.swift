import MobileDiffusionKit
import XCTest

@testable import SampleCore

@MainActor
final class BenchmarkTests: XCTestCase {
  nonisolated private static let json = """
    {"conditions": {"processor": "iPhone17,1", "cores": 6, "system": "iOS 18.0.0", "load": null}, "runners": [
    {"runner": "coreml", "kind": "runtime", "version": "", "threads": null, "stages": [
    {"stage": "encode_text", "median_ms": 4.0, "first_quartile_ms": 3.5, "third_quartile_ms": 4.5, "runs": 3, "spread_ms": 1.0},
    {"stage": "denoise", "median_ms": 230.0, "first_quartile_ms": 229.0, "third_quartile_ms": 232.0, "runs": 3, "spread_ms": 3.0},
    {"stage": "decode_image", "median_ms": 116.0, "first_quartile_ms": 115.0, "third_quartile_ms": 117.0, "runs": 3, "spread_ms": 2.0}
    ]}]}
    """

  func testAReportIsShownAndWrittenWhole() async throws {
    let folder = BenchmarkFolder(folder: try emptyFolder().appendingPathComponent("benchmark"))
    let model = BenchmarkModel(folder: folder, golden: folder)
    model.runs = 3
    model.start(.named("emoji")) { card, order, next in
      XCTAssertEqual(order, BenchmarkOrder(name: "emoji", runs: 3))
      next("denoise")
      return Self.json
    }
    XCTAssertTrue(model.isMeasuring)
    await model.finish()
    XCTAssertEqual(model.phase, .finished)
    XCTAssertEqual(model.report?.picture(steps: 8), 4 + 8 * 230 + 116)
    XCTAssertEqual(try String(contentsOf: folder.report(of: "emoji"), encoding: .utf8), Self.json)
    XCTAssertEqual(names(in: folder.folder), ["emoji.json"])
    XCTAssertEqual(model.file, folder.report(of: "emoji"))
  }

  func testAFailureReplacesTheReportByOneLine() async throws {
    let folder = BenchmarkFolder(folder: try emptyFolder())
    try folder.finish("emoji", json: Self.json)
    let model = BenchmarkModel(folder: folder, golden: folder)
    model.start(.named("emoji")) { _, _, _ in throw DiffusionError("denoise: expected memory,\ngot none") }
    await model.finish()
    XCTAssertEqual(model.phase, .failed("denoise: expected memory, got none"))
    XCTAssertEqual(names(in: folder.folder), ["emoji.error"])
    let text = try String(contentsOf: folder.error(of: "emoji"), encoding: .utf8)
    XCTAssertEqual(text, "denoise: expected memory, got none\n")
  }

  func testTextThatIsNoReportIsAFailure() async throws {
    let folder = BenchmarkFolder(folder: try emptyFolder())
    let model = BenchmarkModel(folder: folder, golden: folder)
    model.start(.named("emoji")) { _, _, _ in "{}" }
    await model.finish()
    XCTAssertEqual(names(in: folder.folder), ["emoji.error"])
  }

  func testCancellingLeavesALineAndNoReport() async throws {
    let folder = BenchmarkFolder(folder: try emptyFolder())
    let model = BenchmarkModel(folder: folder, golden: folder)
    model.start(.named("emoji")) { _, _, _ in
      try await Task.sleep(for: .seconds(60))
      return Self.json
    }
    model.cancel()
    await model.finish()
    XCTAssertEqual(model.phase, .cancelled)
    XCTAssertEqual(names(in: folder.folder), ["emoji.error"])
  }

  func testAReportWithoutAStageHasNoSum() async throws {
    let report = try BenchmarkReport.read(Self.json.replacingOccurrences(of: "decode_image", with: "encode_image"))
    XCTAssertNil(report.picture(steps: 8))
  }
}
