import XCTest

@testable import MobileDiffusionKit

/// The noise is Python's, bit for bit.
final class NoiseTests: XCTestCase {
  func testPhilox() throws {
    let cases = try Golden.read("noise.json").list("philox")
    XCTAssertFalse(cases.isEmpty)
    for entry in cases {
      func words(_ name: String) throws -> [UInt32] {
        try entry.texts(name).map { try XCTUnwrap(UInt32($0, radix: 16)) }
      }
      let (key, counter) = (try words("key"), try words("counter"))
      let found = Noise.philox(key: (key[0], key[1]), counter: SIMD4(counter))
      XCTAssertEqual((0..<4).map { found[$0] }, try words("words"))
    }
  }

  func testGaussian() throws {
    let cases = try Golden.read("noise.json").list("gaussian")
    XCTAssertGreaterThan(cases.count, 300)
    for entry in cases {
      let seed = try XCTUnwrap(UInt64(try entry.text("seed")))
      let (count, tensor) = (try entry.whole("count"), UInt64(try entry.whole("tensor")))
      let noise = Noise.gaussian(seed: seed, count: count, tensor: tensor)
      XCTAssertEqual(sha256(bytes(of: noise)), try entry.text("sha256"), "\(seed) \(tensor) \(count)")
    }
  }
}
