import MobileDiffusionKit
import XCTest

@testable import SampleCore

final class LaunchTests: XCTestCase {
  func testTheUsualStartHasNoBenchmark() throws {
    XCTAssertNil(try BenchmarkOrder.read(["/app", "-NSDoubleLocalizedStrings", "YES"]))
  }

  func testABenchmarkIsReadAmongOtherArguments() throws {
    let order = try BenchmarkOrder.read(["/app", "-x", "y", "--runs", "3", "--benchmark", "emoji", "--threads", "4"])
    XCTAssertEqual(order, BenchmarkOrder(name: "emoji", runs: 3))
    XCTAssertEqual(try BenchmarkOrder.read(["/app", "--benchmark", "emoji"]), BenchmarkOrder(name: "emoji", runs: 10))
  }

  func testAComparisonIsRead() throws {
    let order = try BenchmarkOrder.read(["/app", "--golden", "emoji", "--threads", "4"])
    XCTAssertEqual(order, BenchmarkOrder(name: "emoji", isGolden: true))
  }

  func testWhatCannotBeUsedIsRefusedInOneLine() async {
    let wrong = [
      ["--benchmark"], ["--benchmark", "../x"], ["--benchmark", ".hidden"], ["--benchmark", ""],
      ["--benchmark", "x", "--runs", "0"], ["--benchmark", "x", "--runs", "1001"], ["--benchmark", "x", "--runs", "٣"],
      ["--golden"], ["--golden", "../x"],
      ["--benchmark", "x", "--runs", "1.5"], ["--benchmark", "x", "--threads", "0"], ["--benchmark", "x", "--runs"],
    ]
    for arguments in wrong {
      let text = await lineOfError { try BenchmarkOrder.read(["/app"] + arguments) }
      XCTAssertTrue(text.contains("expected") && text.contains("got"), text)
    }
  }

  func testDevicesOfLittleMemoryHoldOneStage() {
    XCTAssertEqual(MemoryChoice.policy(bytes: 2_000_000_000, available: 3_999_999_999), .sequential)
    XCTAssertEqual(MemoryChoice.policy(bytes: 2_000_000_000, available: 4_000_000_000), .keep)
  }

  func testLinesOfErrorsHaveNoLineBreaks() {
    XCTAssertEqual(DiffusionError.line(of: DiffusionError("a\n b\r\nc")), "a  b c")
  }
}
