import XCTest

@testable import MobileDiffusionKit

/// Token ids are Python's, for all scripts, with special tokens and tokens of textual inversion.
final class TokenTests: XCTestCase {
  func testWordPiece() throws { try check("tokens-wordpiece.json") }
  func testClip() throws { try check("tokens-clip.json") }
  func testAddedTokens() throws { try check("tokens-added.json") }

  private func open(_ golden: JSON) throws -> any Tokenizer {
    let name = try golden.text("tokenizer")
    let text = try Data(contentsOf: Golden.folder.appendingPathComponent(name))
    let spec = TokenizerSpec(
      kind: try golden.text("kind"), maxTokens: Int64(try golden.whole("max_tokens")), files: [name])
    return try openTokenizer(spec, text: Array(text), in: name)
  }

  private func check(_ name: String) throws {
    let golden = try Golden.read(name)
    let tokenizer = try open(golden)
    let (padding, cases) = (Int32(try golden.whole("padding")), try golden.list("cases"))
    XCTAssertGreaterThan(cases.count, 1500)
    for entry in cases {
      let (prompt, ids) = (try entry.text("prompt"), try entry.wholes("ids").map(Int32.init))
      let tokens = try tokenizer.encode(prompt)
      let rest = tokenizer.maxTokens - ids.count
      XCTAssertEqual(tokens.ids, ids + Array(repeating: padding, count: rest), prompt.debugDescription)
      let mask = Array(repeating: Int32(1), count: ids.count) + Array(repeating: 0, count: rest)
      XCTAssertEqual(tokens.mask, mask, prompt.debugDescription)
      XCTAssertEqual(tokens.isKnown, entry["known"] == nil, prompt.debugDescription)
      XCTAssert(tokens.count <= tokenizer.maxTokens || rest == 0)
    }
    let refused = try golden.list("refused")
    XCTAssertFalse(refused.isEmpty)
    for entry in refused {
      let line = refusal { _ = try tokenizer.encode(try entry.text("prompt")) }
      XCTAssert(line.contains(try entry.text("message")), line)
    }
  }

  func testTextsThatSwiftTakesForEqualAreApart() throws {
    XCTAssertEqual("\u{E9}", "e\u{301}")
    XCTAssertNotEqual(ExactText("\u{E9}"), ExactText("e\u{301}"))
    XCTAssertEqual(Set([ExactText("\u{E9}"), ExactText("e\u{301}")]).count, 2)
  }

  func testLongPrompts() throws {
    let tokenizer = try open(try Golden.read("tokens-clip.json"))
    let most = String(repeating: "a", count: 1_000_000)
    XCTAssertGreaterThan(try tokenizer.encode(String(repeating: "a ", count: 50_000)).count, 40_000)
    XCTAssert(refusal { _ = try tokenizer.encode(most + "a") }.contains("at most 1,000,000 characters, got 1000001"))
  }

  func testWhatIsNoTokenizer() throws {
    let text = try String(
      contentsOf: Golden.folder.appendingPathComponent("tokenizers/added.json"), encoding: .utf8)
    let clip = TokenizerSpec(kind: "clip-bpe", maxTokens: 77, files: ["tokenizer.json"])
    let open = { (spec: TokenizerSpec, text: String) in
      _ = try openTokenizer(spec, text: Array(text.utf8), in: "tokenizer.json")
    }
    XCTAssertNoThrow(try open(clip, text))
    for (old, new) in [
      ("\"BPE\"", "\"Unigram\""), ("\"NFC\"", "\"NFD\""), ("\"RobertaProcessing\"", "\"Sequence\""),
      ("\"merges\"", "\"mergers\""), ("\"pad_id\"", "\"pad\""), ("\"single_word\":false", "\"single_word\":true"),
    ] {
      let changed = text.replacingOccurrences(of: old, with: new)
        .replacingOccurrences(of: old.replacingOccurrences(of: ":", with: ": "), with: new)
      XCTAssertNotEqual(changed, text, old)
      _ = refusal(old) { try open(clip, changed) }
    }
    for text in ["", "{}", "[]", "null", "{\"model\": 1}"] { _ = refusal(text) { try open(clip, text) } }
    let other = TokenizerSpec(kind: "sentencepiece", maxTokens: 77, files: [])
    let unknown = refusal { try open(other, text) }
    XCTAssert(unknown.contains("wordpiece, clip-bpe or clip-bpe-pair, got 'sentencepiece'; update"))
    let short = TokenizerSpec(kind: "clip-bpe", maxTokens: 2, files: [])
    XCTAssert(refusal { try open(short, text) }.contains("max_tokens of at least 3"))
  }
}
