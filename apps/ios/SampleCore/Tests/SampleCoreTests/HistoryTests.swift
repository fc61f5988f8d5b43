import XCTest

@testable import SampleCore

@MainActor
final class HistoryTests: XCTestCase {
  private func drawing(_ prompt: String, at seconds: Double) -> Drawing {
    Drawing(
      prompt: prompt, style: "3d", seed: .max, guidance: 3.5, model: "emoji", runtime: "coreai",
      date: Date(timeIntervalSince1970: seconds), milliseconds: 12.5)
  }

  func testPicturesComeBackTheNewestFirst() async throws {
    let folder = HistoryFolder(folder: try emptyFolder())
    let (old, new) = (drawing("old", at: 1), drawing("ñ 🍎 \"quoted\"", at: 2))
    try folder.add(old, png: Data([1]))
    try folder.add(new, png: Data([2]))
    XCTAssertEqual(folder.load(), [new, old])
    XCTAssertEqual(try Data(contentsOf: folder.picture(of: new)), Data([2]))
  }

  func testPicturesOfOlderVersionsHaveNoRuntime() async throws {
    let folder = HistoryFolder(folder: try emptyFolder())
    let old = drawing("old", at: 1)
    try folder.add(old, png: Data([1]))
    let file = folder.folder.appendingPathComponent("\(old.id.uuidString).json")
    let text = try String(contentsOf: file, encoding: .utf8)
    let older = text.replacingOccurrences(of: #""runtime" *: *"coreai","#, with: "", options: .regularExpression)
    XCTAssertNotEqual(older, text)
    try Data(older.utf8).write(to: file)
    XCTAssertEqual(folder.load().map(\.runtime), [nil])
    XCTAssertEqual(folder.load().map(\.model), ["emoji"])
  }

  func testDeletingRemovesBothFiles() async throws {
    let folder = HistoryFolder(folder: try emptyFolder())
    let model = HistoryModel(folder: folder)
    let only = drawing("one", at: 1)
    model.add(only, png: Data([1]))
    XCTAssertEqual(model.drawings, [only])
    model.delete(only)
    XCTAssertEqual(model.drawings, [])
    XCTAssertEqual(names(in: folder.folder), [])
    XCTAssertNil(model.problem)
  }

  func testWhatAnInterruptedWriteLeavesIsNotShown() async throws {
    let folder = HistoryFolder(folder: try emptyFolder())
    let (whole, bare) = (drawing("whole", at: 1), drawing("without a picture", at: 2))
    try folder.add(whole, png: Data([1]))
    try folder.add(bare, png: Data([1]))
    try FileManager.default.removeItem(at: folder.picture(of: bare))
    try Data("{".utf8).write(to: folder.folder.appendingPathComponent("cut.json"))
    try Data([1]).write(to: folder.folder.appendingPathComponent("alone.png"))
    XCTAssertEqual(folder.load(), [whole])
  }

  func testARecordOfAnotherNameIsNotShown() async throws {
    let folder = HistoryFolder(folder: try emptyFolder())
    let only = drawing("one", at: 1)
    try folder.add(only, png: Data([1]))
    let record = folder.folder.appendingPathComponent("\(only.id.uuidString).json")
    try FileManager.default.copyItem(at: record, to: folder.folder.appendingPathComponent("copy.json"))
    XCTAssertEqual(folder.load(), [only])
  }

  func testAFolderThatCannotBeWrittenIsSaid() async throws {
    let file = try emptyFolder().appendingPathComponent("file")
    try Data().write(to: file)
    let model = HistoryModel(folder: HistoryFolder(folder: file.appendingPathComponent("history")))
    model.add(drawing("one", at: 1), png: Data([1]))
    XCTAssertNotNil(model.problem)
    XCTAssertEqual(model.drawings, [])
  }
}
