import Foundation
import XCTest

@testable import MobileDiffusionKit

/// The golden files in assets/golden, with which every language is compared.
enum Golden {
  /// Beside this file on a Mac; on Linux, where the checkout had another path while it was compiled, above the working
  /// folder.
  static let folder = {
    let places = [#filePath, FileManager.default.currentDirectoryPath + "/."]
    let above = places.flatMap { place in
      sequence(first: URL(fileURLWithPath: place).deletingLastPathComponent()) { folder in
        folder.path == "/" ? nil : folder.deletingLastPathComponent()
      }
    }
    return above.map { $0.appendingPathComponent("assets/golden") }
      .first { FileManager.default.fileExists(atPath: $0.path) } ?? above[0]
  }()

  /// The JSON of a file.
  static func read(_ name: String) throws -> JSON {
    try JSON.parse(Array(try Data(contentsOf: folder.appendingPathComponent(name))), in: name)
  }
}

extension JSON {
  /// The member, or a failure of the test.
  func member(_ name: String) throws -> JSON { try XCTUnwrap(self[name], name) }
  func text(_ name: String) throws -> String { try XCTUnwrap(self[name]?.text, name) }
  func whole(_ name: String) throws -> Int { Int(try XCTUnwrap(self[name]?.whole, name)) }
  func list(_ name: String) throws -> [JSON] { try XCTUnwrap(self[name]?.list, name) }
  func wholes(_ name: String) throws -> [Int] { try list(name).map { Int(try XCTUnwrap($0.whole, name)) } }
  func texts(_ name: String) throws -> [String] { try list(name).map { try XCTUnwrap($0.text, name) } }
}

/// SHA-256 of bytes.
func sha256(_ bytes: [UInt8]) -> String {
  var hash = MobileDiffusionKit.SHA256()
  hash.update(Data(bytes))
  return hash.finalize()
}

/// The little-endian bytes of numbers.
func bytes(of values: [Int32]) -> [UInt8] {
  values.flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) }
}

func bytes(of values: [Float]) -> [UInt8] {
  bytes(of: values.map { Int32(bitPattern: $0.bitPattern) })
}

/// Calls `action`, which has to throw; returns the one line that it throws.
func refusal(
  _ name: String = "", file: StaticString = #filePath, line: UInt = #line, _ action: () throws -> Void
) -> String {
  do {
    try action()
    XCTFail("\(name): expected to be refused", file: file, line: line)
    return ""
  } catch {
    let text = String(describing: error)
    XCTAssert(error is DiffusionError, "\(name): \(text)", file: file, line: line)
    XCTAssert(text.contains("expected") && !text.contains("\n"), "\(name): \(text)", file: file, line: line)
    return text
  }
}
