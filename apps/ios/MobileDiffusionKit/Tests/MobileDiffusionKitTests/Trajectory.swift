import Foundation
import XCTest

@testable import MobileDiffusionKit

/// A recorded drawing: the bundle it was made with, and every call of a stage.
struct Trajectory {
  let request: DrawRequest
  let calls: [JSON]
  let picture: JSON
  let steps: Int
  /// Steps that are skipped.
  let skipped: Int
  /// Pictures of the latents after every step; none when the bundle does not say how.
  let previews: [JSON]
  /// A bundle on disk that has the files of the recorded one, its programs empty.
  let bundle: URL

  init(_ name: String, in folder: URL) throws {
    let golden = try Golden.read("trajectories/\(name).json")
    let values = try golden.member("request")
    let start = try values["start"].map(Self.start)
    skipped = ["image": 2, "inpaint": 1][name] ?? 0
    request = DrawRequest(
      prompt: try values.text("prompt"), negative: try values.text("negative"),
      seed: try XCTUnwrap(UInt64(try values.text("seed"))), guidance: values["guidance"]?.number,
      start: start, syntax: try XCTUnwrap(PromptSyntax(rawValue: values["syntax"]?.text ?? "plain")),
      hints: try values["hints"].map { _ in try values.list("hints").map(Self.hint) } ?? [])
    calls = try golden.list("calls")
    picture = try golden.member("picture")
    steps = Int(try golden.whole("steps"))
    previews = try golden["preview"]?.list("pictures") ?? []
    bundle = folder.appendingPathComponent(name)
    let manifest = try golden.text("manifest")
    try write(manifest, "manifest.json")
    for path in try Manifest(text: Array(manifest.utf8)).files.keys { try write("", path) }
    for name in ["tokenizer", "tokenizer_2"] {
      guard let source = golden[name]?.text else { continue }
      let tokenizer = try Data(contentsOf: Golden.folder.appendingPathComponent(source))
      try tokenizer.write(to: bundle.appendingPathComponent("\(name).json"))
    }
    if let preview = try golden["preview"]?.text("text") { try write(preview, "preview.json") }
  }

  private static func hint(_ asked: JSON) throws -> Hint {
    let pixels = try XCTUnwrap(Data(base64Encoded: try asked.text("pixels")))
    let (width, height) = (Int(try asked.whole("width")), Int(try asked.whole("height")))
    let picture = Picture(width: width, height: height, rgb: Array(pixels))
    return Hint(picture: picture, scale: try XCTUnwrap(asked["scale"]?.number))
  }

  private static func start(_ asked: JSON) throws -> Start {
    func bytes(_ name: String) -> [UInt8]? { asked[name]?.text.flatMap { Data(base64Encoded: $0) }.map(Array.init) }
    let (width, height) = (Int(try asked.whole("width")), Int(try asked.whole("height")))
    return Start(
      picture: Picture(width: width, height: height, rgb: try XCTUnwrap(bytes("pixels"))),
      strength: asked["strength"]?.number, mask: bytes("mask"), imageGuidance: asked["image_guidance"]?.number)
  }

  private func write(_ text: String, _ path: String) throws {
    let place = bundle.appendingPathComponent(path)
    try FileManager.default.createDirectory(at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: place)
  }
}

/// Plays recorded calls: each has to be the next one, with these inputs.
actor ReplayingRunner: ModelRunner {
  nonisolated let description = RunnerDescription(name: "replay", version: "1", threads: 1)
  private var calls: ArraySlice<JSON>
  /// What was done: "load denoise", "run denoise", "unload denoise".
  private(set) var events: [String] = []
  private var loaded: Set<Stage> = []
  /// Called before every load and run.
  private let before: @Sendable (String) async throws -> Void

  init(_ calls: [JSON], before: @escaping @Sendable (String) async throws -> Void = { _ in }) {
    (self.calls, self.before) = (calls[...], before)
  }

  var isEmpty: Bool { loaded.isEmpty }
  var rest: Int { calls.count }

  func load(_ stage: Stage) async throws {
    events.append("load \(stage.rawValue)")
    try await before("load \(stage.rawValue)")
    XCTAssert(loaded.insert(stage).inserted)
  }

  func unload(_ stage: Stage) {
    events.append("unload \(stage.rawValue)")
    XCTAssertNotNil(loaded.remove(stage))
  }

  func run(_ stage: Stage, _ inputs: [String: TensorValue]) async throws -> [String: TensorValue] {
    events.append("run \(stage.rawValue)")
    try await before("run \(stage.rawValue)")
    XCTAssert(loaded.contains(stage))
    let call = try XCTUnwrap(calls.popFirst())
    XCTAssertEqual(try call.text("stage"), stage.rawValue)
    let expected = try XCTUnwrap(call["inputs"]?.members)
    XCTAssertEqual(Set(expected.map(\.name)), Set(inputs.keys))
    for (name, value) in expected.map({ ($0.name, $0.value) }) {
      let input = try XCTUnwrap(inputs[name], name)
      XCTAssertEqual(input.dtype, try value.text("dtype"))
      XCTAssertEqual(input.shape, try value.wholes("shape"), name)
      XCTAssertEqual(sha256(input.bytes), try value.text("sha256"), "\(stage) \(name)")
    }
    return try recordedOutputs(of: call)
  }
}

/// The outputs of a recorded call.
func recordedOutputs(of call: JSON) throws -> [String: TensorValue] {
  var outputs: [String: TensorValue] = [:]
  for member in try XCTUnwrap(call["outputs"]?.members) {
    let data = try XCTUnwrap(Data(base64Encoded: try member.value.text("data")))
    let values = data.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: 4).map { place in
        Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self)))
      }
    }
    outputs[member.name] = .floats(values, shape: try member.value.wholes("shape"))
  }
  return outputs
}

extension TensorValue {
  var bytes: [UInt8] {
    switch self {
    case .floats(let values, _): MobileDiffusionKitTests.bytes(of: values)
    case .integers(let values, _): MobileDiffusionKitTests.bytes(of: values)
    }
  }
}

/// A test with a folder of its own, which is removed after it.
class FolderTestCase: XCTestCase {
  private(set) var folder = URL(fileURLWithPath: "/")

  override func setUpWithError() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  override func tearDownWithError() throws {
    try FileManager.default.removeItem(at: folder)
  }
}
