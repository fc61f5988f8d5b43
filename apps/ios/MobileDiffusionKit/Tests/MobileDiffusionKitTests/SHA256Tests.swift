import XCTest

@testable import MobileDiffusionKit

/// Digests of FIPS 180-4's examples, and of lengths around a block's.
final class SHA256Tests: XCTestCase {
  private func portable(_ parts: [[UInt8]]) -> String {
    var hash = PortableSHA256()
    for part in parts { part.withUnsafeBytes { hash.update($0) } }
    return hash.finalize().map { String(0x100 + Int($0), radix: 16).dropFirst() }.joined()
  }

  func testExamples() {
    let two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
    for (text, digest) in [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (two, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
      (
        String(repeating: "a", count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
      ),
    ] {
      XCTAssertEqual(portable([Array(text.utf8)]), digest)
      XCTAssertEqual(sha256(Array(text.utf8)), digest)
    }
  }

  func testPartsMakeNoDifference() {
    let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 * 7) }
    for cut in [0, 1, 55, 56, 63, 64, 65, 127, 128, 200] {
      XCTAssertEqual(portable([Array(bytes[..<cut]), Array(bytes[cut...])]), sha256(bytes), "\(cut)")
    }
    for count in 50...70 {
      XCTAssertEqual(portable(bytes[..<count].map { [$0] }), sha256(Array(bytes[..<count])), "\(count)")
    }
  }
}
