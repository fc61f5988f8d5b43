import XCTest

@testable import MobileDiffusionKit

/// Arrays that a runtime pads or interleaves are read in C order.
final class StridedLayoutTests: XCTestCase {
  private func read(_ memory: [Float], _ layout: StridedLayout) -> [Float] {
    memory.withUnsafeBufferPointer { layout.read($0.baseAddress!) }
  }

  func testRowsWithoutGaps() {
    let layout = StridedLayout(shape: [1, 2, 3], strides: [99, 3, 1])
    XCTAssertTrue(layout.isContiguous)  // the stride of a dimension of one element says nothing
    XCTAssertEqual(read([0, 1, 2, 3, 4, 5], layout), [0, 1, 2, 3, 4, 5])
  }

  func testPaddedRows() {
    let layout = StridedLayout(shape: [2, 3], strides: [4, 1])
    XCTAssertFalse(layout.isContiguous)
    XCTAssertEqual(read([0, 1, 2, .nan, 3, 4, 5, .nan], layout), [0, 1, 2, 3, 4, 5])
  }

  func testTransposedRows() {
    XCTAssertEqual(read([0, 3, 1, 4, 2, 5], StridedLayout(shape: [2, 3], strides: [1, 2])), [0, 1, 2, 3, 4, 5])
  }

  func testInterleavedChannels() {
    // Three channels of two positions, two channels side by side: c0 c1 of each position, then c2 and padding.
    let interleaving = StridedLayout.Interleaving(dimension: 0, factor: 2)
    let layout = StridedLayout(shape: [3, 2], strides: [4, 2], interleaving: interleaving)
    XCTAssertFalse(layout.isContiguous)
    XCTAssertEqual(read([0, 2, 1, 3, 4, .nan, 5, .nan], layout), [0, 1, 2, 3, 4, 5])
  }
}
