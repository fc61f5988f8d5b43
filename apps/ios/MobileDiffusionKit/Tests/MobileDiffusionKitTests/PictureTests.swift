import XCTest

@testable import MobileDiffusionKit

/// Pixels are rounded half to even and cut; NaN makes no picture.
final class PictureTests: XCTestCase {
  func testPixels() throws {
    let values: [Float] = [-1, 0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 254.5 / 255, 1, 2, 0.25, 0.75, 0.1, 0.9]
    let picture = try Picture(image: values, shape: [1, 3, 2, 2])
    let expected = values.map { UInt8((min(max($0, 0), 1) * 255).rounded(.toNearestOrEven)) }
    XCTAssertEqual(Array(expected[..<4]), [0, 0, 0, 2])
    XCTAssertEqual(picture.rgb, (0..<4).flatMap { place in [0, 4, 8].map { expected[$0 + place] } })
    XCTAssertEqual(picture.width, 2)
  }

  func testWhatIsNotFinite() {
    for value in [Float.nan, .infinity, -.infinity] {
      let line = refusal { _ = try Picture(image: [0.5, 0.5, value], shape: [1, 3, 1, 1]) }
      XCTAssert(line.contains("image: expected finite values, got 1 NaN or infinite of 3"), line)
    }
    XCTAssert(refusal { _ = try Picture(image: [1], shape: [1, 3, 1, 1]) }.contains("expected 3 values, got 1"))
  }

  func testPreview() throws {
    let text = #"{"weights": [[1, 0], [0, 0.5], [1, 1]], "bias": [0, 0.25, -1]}"#
    let preview = try Preview(text: Array(text.utf8), channels: 2)
    let picture = try preview.picture(of: [0.2, 2, 0.5, -1], shape: [1, 2, 1, 2])
    XCTAssertEqual(picture, Picture(width: 2, height: 1, rgb: [51, 128, 0, 255, 0, 0]))
    XCTAssertThrowsError(try preview.picture(of: [.nan, 0, 0, 0], shape: [1, 2, 1, 2]))
    let huge = try Preview(text: Array(#"{"weights": [[1e308], [0], [0]], "bias": [0, 0, 0]}"#.utf8), channels: 1)
    XCTAssertThrowsError(try huge.picture(of: [1e9], shape: [1, 1, 1, 1]))
  }

  func testWhatIsNoPreview() {
    for text in [
      "", "{}", #"{"weights": [[1], [1], [1]], "bias": [0, 0]}"#, #"{"weights": [[1], [1]], "bias": [0, 0, 0]}"#,
      #"{"weights": [[1], [1], ["1"]], "bias": [0, 0, 0]}"#, #"{"weights": [[1], [1], [1, 2]], "bias": [0, 0, 0]}"#,
      #"{"weights": [1, 2, 3], "bias": [0, 0, 0]}"#, #"{"weights": [[1], [1], [1]], "bias": [0, 0, 0], "c": 1}"#,
    ] {
      XCTAssert(refusal(text) { _ = try Preview(text: Array(text.utf8), channels: 1) }.hasPrefix("preview.json"))
    }
  }
}
