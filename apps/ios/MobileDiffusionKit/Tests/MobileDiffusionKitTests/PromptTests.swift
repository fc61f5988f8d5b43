import XCTest

@testable import MobileDiffusionKit

/// Prompts with weights and of several windows, read as the golden file says.
final class PromptTests: XCTestCase {
  private func open(_ golden: JSON) throws -> any Tokenizer {
    let name = try golden.text("tokenizer")
    let text = try Data(contentsOf: Golden.folder.appendingPathComponent(name))
    let spec = TokenizerSpec(
      kind: try golden.text("kind"), maxTokens: Int64(try golden.whole("max_tokens")), files: [name])
    return try openTokenizer(spec, text: Array(text), in: name)
  }

  private func syntax(_ entry: JSON) throws -> PromptSyntax {
    try XCTUnwrap(PromptSyntax(rawValue: try entry.text("syntax")))
  }

  func testPromptsOfTheGoldenFile() throws {
    let golden = try Golden.read("prompts.json")
    let tokenizer = try open(golden)
    for entry in try golden.list("cases") {
      let prompt = try entry.text("prompt")
      let found = try Reading(prompt, try syntax(entry), windows: try entry.whole("windows"), by: tokenizer)
      XCTAssertEqual(found.isCut, entry["cut"]?.flag, prompt.debugDescription)
      XCTAssertEqual(found.empty != nil, entry["empty"]?.flag, prompt.debugDescription)
      let versions = try entry.list("versions")
      XCTAssertEqual(found.versions.count, versions.count, prompt.debugDescription)
      for (expected, version) in zip(versions, found.versions) { try check(expected, version, prompt) }
    }
  }

  private func check(_ expected: JSON, _ found: Reading.Version, _ prompt: String) throws {
    let share = try XCTUnwrap(expected["share"]?.number)
    XCTAssertLessThanOrEqual(abs(found.share - share), 1e-12 * share, prompt.debugDescription)
    let windows = try expected.list("windows")
    XCTAssertEqual(found.windows.count, windows.count)
    for (window, own) in zip(windows, found.windows) {
      let count = Int(own.tokens.mask.reduce(0, +))
      XCTAssertEqual(own.tokens.ids.prefix(count).map(Int.init), try window.wholes("ids"), prompt.debugDescription)
      XCTAssertEqual(Array(own.weights.prefix(count)), window["weights"]?.numbers, prompt.debugDescription)
      XCTAssert(own.weights.dropFirst(count).allSatisfy { $0 == 1 })
    }
  }

  func testPromptsThatAreRefused() throws {
    let golden = try Golden.read("prompts.json")
    let tokenizer = try open(golden)
    for entry in try golden.list("refused") {
      let line = refusal { _ = try Reading(try entry.text("prompt"), try syntax(entry), windows: 1, by: tokenizer) }
      XCTAssert(line.contains(try entry.text("message")), line)
    }
    let long = refusal {
      _ = try Reading(String(repeating: "a", count: 10_001), .a1111, windows: 1, by: tokenizer)
    }
    XCTAssert(long.contains("at most 10,000 characters"), long)
  }
}
