import XCTest

@testable import MobileDiffusionKit

/// Manifests are read and refused as Python reads and refuses them.
final class ManifestTests: XCTestCase {
  func testWhatPythonReads() throws {
    let accepted = try Golden.read("manifests.json").list("accepted")
    XCTAssertFalse(accepted.isEmpty)
    for entry in accepted {
      let (name, text) = (try entry.text("name"), try entry.text("text"))
      XCTAssertNoThrow(try Manifest(text: Array(text.utf8)), name)
    }
  }

  func testWhatPythonRefuses() throws {
    let refused = try Golden.read("manifests.json").list("refused")
    XCTAssertGreaterThan(refused.count, 50)
    for entry in refused {
      let (name, message) = (try entry.text("name"), try entry.text("message"))
      let line = refusal(name) { _ = try Manifest(text: Array(try entry.text("text").utf8)) }
      XCTAssert(line.contains(message), "\(name): expected '\(message)' in: \(line)")
    }
  }

  func testSizesThatNoPhoneHas() throws {
    for (shape, message) in [
      ("[16777215, 16777215, 16777215, 16777215]", "at most 268435456 elements"), ("[16777216]", "positive sizes"),
      ("[268435457]", "positive sizes"), ("[8388608, 33]", "at most 268435456 elements"),
    ] {
      let text = #"{"name": "a", "dtype": "float32", "shape": \#(shape)}"#
      let line = refusal { _ = try TensorSpec(json: try JSON.parse(Array(text.utf8), in: "a"), in: "a") }
      XCTAssert(line.contains(message), line)
    }
    let text = #"{"name": "a", "dtype": "float32", "shape": [8388608, 32]}"#
    XCTAssertEqual(try TensorSpec(json: try JSON.parse(Array(text.utf8), in: "a"), in: "a").count, 1 << 28)
  }

  func testWhatIsRead() throws {
    let text = try Golden.read("manifests.json").list("accepted")[0].text("text")
    let sample = try Manifest(text: Array(text.utf8))
    XCTAssertEqual(sample.styles, ["3d", "flat"])
    XCTAssertEqual(PromptStyle.apply("flat", to: "a cat"), "a cat, flat")
    XCTAssertEqual(PromptStyle.apply("", to: "a cat"), "a cat")
    XCTAssertEqual(PromptStyle.apply("3d", to: ""), "")
    let manifest = try Manifest(text: Array(try Golden.read("trajectories/multistep.json").text("manifest").utf8))
    XCTAssertEqual(manifest.stages.map(\.stage), Stage.drawing)
    XCTAssertEqual(manifest.schedule.memory, 1)
    XCTAssertFalse(manifest.schedule.isStochastic)
    XCTAssertEqual(manifest.schedule.guidanceKind, .cfg)
    XCTAssertEqual(manifest.runtimes.map(\.name), ["xnnpack"])
    XCTAssertEqual(manifest.spec(of: .denoise)?.inputs.first?.name, "latents")
    XCTAssertNil(manifest.spec(of: .encodeImage))
    let tiled = try Manifest(text: Array(try Golden.read("trajectories/tiles.json").text("manifest").utf8))
    XCTAssertThrowsError(try DrawSettings(tiled)) { error in
      XCTAssertTrue("\(error)".contains("joins no tiles; export it without --tile"), "\(error)")
    }
  }
}
