import XCTest

@testable import MobileDiffusionKit

/// JSON is read as RFC 8259 has it, and no more loosely.
final class JSONTests: XCTestCase {
  private func read(_ text: String) throws -> JSON { try JSON.parse(Array(text.utf8), in: "a.json") }

  func testNumbersAreKeptApart() throws {
    XCTAssertEqual(try read("1"), .whole(1))
    XCTAssertEqual(try read("1.0"), .number(1))
    XCTAssertEqual(try read("1e0"), .number(1))
    XCTAssertEqual(try read("true"), .bool(true))
    XCTAssertEqual(try read("-0"), .whole(0))
    XCTAssertEqual(try read("9223372036854775807"), .whole(.max))
    XCTAssertEqual(try read("9223372036854775808"), .number(0x1p63))
    XCTAssertEqual(try read(" [0.1, -2.5e-3]\n"), .list([.number(0.1), .number(-0.0025)]))
  }

  func testTexts() throws {
    XCTAssertEqual(try read(#""\u00e9\ud83c\udf4e\n\/ é""#).text?.utf8.count, 11)
    XCTAssertEqual(try read(#"{"a": 1, "a": 2}"#)["a"], .whole(2))
  }

  func testWhatIsNoJSON() {
    let texts = [
      "", " ", "nul", "NaN", "Infinity", "-", "01", "1.", ".5", "+1", "1e", "0x10", "1e999", "'a'", "\"a", "\"\t\"",
      #""\x""#, #""\u12"#, #""\u+123""#, #""\ud800""#, #""\udc00""#, #""\ud800\u0041""#, "[1,]", "[1 2]", "{\"a\"}",
      "{\"a\": 1,}", "{a: 1}", "{} {}", "1 // one", "\u{FEFF}{}", String(repeating: "[", count: 100_000),
      String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000),
    ]
    for text in texts { XCTAssertThrowsError(try read(text), String(text.prefix(20))) }
    let notUTF8: [[UInt8]] = [[0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0xFF]]
    for bytes in notUTF8 {
      XCTAssertThrowsError(try JSON.parse(bytes, in: "a.json"))
    }
  }

  func testWhatIsWrittenIsReadAgain() throws {
    let text = #"{"a":[1,-2.5,1e+22,null,true],"b":"\u00e9\\\"\u000a"}"#
    XCTAssertEqual(try read(text).description, text)
  }
}
