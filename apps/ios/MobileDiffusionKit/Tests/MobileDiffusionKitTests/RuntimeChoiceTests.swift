import Foundation
import XCTest

@testable import MobileDiffusionKit

/// The rule of the manifest's schema for `primary` and `deployment_target`.
final class RuntimeChoiceTests: XCTestCase {
  private let names = ["coreai", "coreml", "executorch", "xnnpack"]

  private func choice(_ system: Int, without missing: String = "") -> RuntimeChoice {
    RuntimeChoice(names: names.filter { $0 != missing }, system: system)
  }

  /// A manifest with runtimes of these names and deployment targets, the first of them primary; their programs are
  /// `<stage>.<name>`.
  private func manifest(_ runtimes: (String, String?)...) throws -> Manifest {
    let text = try Golden.read("trajectories/multistep.json").text("manifest")
    let json = try JSON.parse(Array(text.utf8), in: "manifest")
    let members = try XCTUnwrap(json.members).map { member in
      switch member.name {
      case "runtimes": JSON.Member(name: member.name, value: .list(runtimes.enumerated().map(entry)))
      case "files": JSON.Member(name: member.name, value: .list((member.value.list ?? []) + runtimes.flatMap(files)))
      default: member
      }
    }
    return try Manifest(text: Array(JSON.object(members).description.utf8))
  }

  private func entry(_ number: Int, _ runtime: (String, String?)) -> JSON {
    let setting = runtime.1.map { object(["name": .text("deployment_target"), "value": .text($0)]) }
    let artifacts = Stage.drawing.map { stage in
      object([
        "stage": .text(stage.rawValue), "path": .text("\(stage.rawValue).\(runtime.0)"), "method": .text("main"),
        "outputs": .list([.text("out")]), "precision": .text("fp16"), "compression": .text("none"),
        "delegates": .whole(0), "undelegated": .list([]),
      ])
    }
    return object([
      "name": .text(runtime.0), "primary": .bool(number == 0), "verified": .bool(true),
      "settings": .list(setting.map { [$0] } ?? []), "artifacts": .list(artifacts),
    ])
  }

  private func files(_ runtime: (String, String?)) -> [JSON] {
    Stage.drawing.map { stage in
      object([
        "path": .text("\(stage.rawValue).\(runtime.0)"), "size": .whole(0),
        "sha256": .text(String(repeating: "0", count: 64)),
      ])
    }
  }

  private func object(_ members: KeyValuePairs<String, JSON>) -> JSON {
    .object(members.map { JSON.Member(name: $0.key, value: $0.value) })
  }

  func testNewSystemsTakeTheNewerRuntime() throws {
    let both = try manifest(("coreml", "iOS17"), ("coreai", "iOS27"))
    XCTAssertEqual(try choice(27).runtime(of: both).name, "coreai")
    XCTAssertEqual(try choice(26).runtime(of: both).name, "coreml")
    XCTAssertEqual(try choice(27, without: "coreai").runtime(of: both).name, "coreml")
    XCTAssertEqual(try choice(27).runtime(of: try manifest(("coreml", "iOS17"))).name, "coreml")
  }

  func testThePrimaryOneIsTakenOfTwoForTheSameSystem() throws {
    let both = try manifest(("executorch", "iOS17"), ("coreml", "iOS17"))
    XCTAssertEqual(try choice(27).runtime(of: both).name, "executorch")
    XCTAssertEqual(try choice(27, without: "executorch").runtime(of: both).name, "coreml")
    XCTAssertEqual(try choice(17).runtime(of: try manifest(("onnx", nil), ("xnnpack", nil))).name, "xnnpack")
  }

  func testARuntimeWhoseProgramsAreNotThereDoesNotCount() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("choice-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    addTeardownBlock { try? FileManager.default.removeItem(at: folder) }
    let both = try manifest(("coreml", "iOS17"), ("coreai", "iOS27"))
    for name in ["coreml", "coreai"] {
      XCTAssertNotEqual(try? choice(27).runtime(of: both, in: folder).name, name)
      for stage in Stage.drawing { try Data().write(to: folder.appendingPathComponent("\(stage.rawValue).\(name)")) }
      XCTAssertEqual(try choice(27).runtime(of: both, in: folder).name, name)
    }
  }

  func testABundleForNewSystemsAloneIsRefusedOnOlderOnes() throws {
    let line = refusal { _ = try choice(26).runtime(of: try manifest(("coreai", "iOS27"))) }
    XCTAssert(
      line.contains("expected one of coreai, coreml, executorch, xnnpack for this system, got coreai for iOS27"))
    for target in ["27", "iOS", "iOSx", ""] {
      XCTAssertThrowsError(try choice(27).runtime(of: try manifest(("coreai", target))), target)
    }
  }

  func testThisSystemHasNoCoreAI() {
    XCTAssertEqual(RuntimeChoice.current.names, ["coreml", "executorch", "xnnpack"])
  }
}
