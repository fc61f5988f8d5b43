import Foundation
import MobileDiffusionKit
import XCTest

@testable import SampleCore

/// An artist that draws a small picture in a few steps, and does at a step what the test wants.
actor Play: Artist {
  enum Turn: Sendable {
    case finish
    case fail(String)
    /// Waits after the second step until it is cancelled.
    case wait
  }

  static let picture = Picture(width: 2, height: 1, rgb: [255, 0, 0, 0, 0, 255])
  private let turn: Turn
  /// One for each picture.
  private(set) var requests: [DrawRequest] = []
  /// How often it was asked, for one picture or several.
  private(set) var drawings = 0
  private(set) var unloads = 0
  private(set) var closes = 0

  init(_ turn: Turn = .finish) {
    self.turn = turn
  }

  nonisolated func draw(_ request: DrawRequest, pictures: Int) -> AsyncThrowingStream<DrawEvent, any Error> {
    AsyncThrowingStream { continuation in
      let task = Task {
        do {
          await self.begin()
          for each in try request.series(pictures) { try await self.perform(each) { continuation.yield($0) } }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  /// Knows words of letters, as "a cat".
  nonisolated func knows(_ prompt: String) -> Bool {
    prompt.contains(where: \.isLetter)
  }

  func unload() {
    unloads += 1
  }

  func close() {
    closes += 1
  }

  private func begin() {
    drawings += 1
  }

  private func perform(_ request: DrawRequest, tell: (DrawEvent) -> Void) async throws {
    requests.append(request)
    tell(.loading(.encodeText))
    tell(.step(1, steps: 4, preview: Self.picture))
    tell(.step(2, steps: 4, preview: nil))
    switch turn {
    case .finish: tell(.finished(Self.picture, milliseconds: 12))
    case .fail(let line): throw DiffusionError(line)
    case .wait: try await Task.sleep(for: .seconds(60))
    }
  }
}

extension ModelCard {
  /// A card of a model that is not on disk.
  static func named(
    _ id: String, guidance: Double? = 3, styles: [String] = ["3d"], startSize: PixelSize? = nil,
    edits: Bool = false, controls: Int = 0
  ) -> ModelCard {
    ModelCard(
      id: id, folder: URL(fileURLWithPath: "/nowhere/\(id)"), digest: id, title: id, licence: "MIT", runtime: "xnnpack",
      precision: "fp32", steps: 4, guidance: guidance, styles: styles, startSize: startSize,
      edits: edits, pictureSize: Play.picture.size, controls: controls, bytes: 1, isBuiltIn: false)
  }
}

extension XCTestCase {
  /// An empty folder that is removed after the test.
  func emptyFolder() throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sample-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    addTeardownBlock { try? FileManager.default.removeItem(at: folder) }
    return folder
  }

  /// A copy of that bundle that may be spoiled.
  func copyOfBundle() throws -> URL {
    let copy = try emptyFolder().appendingPathComponent("bundle")
    try FileManager.default.copyItem(at: try smallBundle(), to: copy)
    return copy
  }

  /// Names in a folder, hidden ones too.
  func names(in folder: URL) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted()
  }
}

/// A small bundle that the tests of the repository export.
func smallBundle() throws -> URL {
  guard let path = ProcessInfo.processInfo.environment["SAMPLE_BUNDLE"] else {
    throw XCTSkip("no SAMPLE_BUNDLE; tests/apps/ios/test_app.py exports one")
  }
  return URL(fileURLWithPath: path)
}

/// The line of the error that something throws; "" and a failed test when it throws none.
func lineOfError(
  file: StaticString = #filePath, line: UInt = #line, _ work: @Sendable () async throws -> some Sendable
) async -> String {
  do {
    _ = try await work()
  } catch {
    return DiffusionError.line(of: error)
  }
  XCTFail("expected an error", file: file, line: line)
  return ""
}
