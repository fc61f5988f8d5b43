import MobileDiffusionKit
import XCTest

@testable import SampleCore

/// A folder that breaks off after so many bytes, and counts what it has sent.
private actor Line: FileSource {
  private let folder: URL
  private var left: Int
  private(set) var given = 0

  init(_ folder: URL, breaksAfter left: Int = .max) {
    (self.folder, self.left) = (folder, left)
  }

  func repair() {
    left = .max
  }

  func manifest(limit: Int) throws -> Data {
    try Data(contentsOf: folder.appendingPathComponent("manifest.json"))
  }

  func receive(_ path: String, into part: PartialFile) throws {
    let rest = try Data(contentsOf: folder.appendingPathComponent(path)).dropFirst(Int(part.size))
    let piece = rest.prefix(left)
    try part.append(Data(piece))
    given += piece.count
    left -= piece.count
    if piece.count < rest.count { throw DiffusionError("the line broke") }
  }
}

/// The bytes that were told last.
private final class Seen: @unchecked Sendable {
  private let lock = NSLock()
  private var pairs: [(Int64, Int64)] = []

  func add(_ bytes: Int64, _ whole: Int64) {
    lock.withLock { pairs.append((bytes, whole)) }
  }

  var last: (Int64, Int64)? { lock.withLock { pairs.last } }
}

final class DownloadTests: XCTestCase {
  private func size(of bundle: URL) throws -> Int {
    let text = try Data(contentsOf: bundle.appendingPathComponent("manifest.json"))
    return Int(try BundleContents(manifest: text).size)
  }

  func testABrokenDownloadGoesOnWhereItWas() async throws {
    let (models, bundle) = (try emptyFolder(), try smallBundle())
    let whole = try size(of: bundle)
    let source = Line(bundle, breaksAfter: whole / 2)
    let text = await lineOfError { try await BundleInstaller(models: models).download(from: source) }
    XCTAssertEqual(text, "the line broke")
    XCTAssertEqual(names(in: models).filter { !$0.hasPrefix(".incoming-") }, [])
    await source.repair()
    let seen = Seen()
    let name = try await BundleInstaller(models: models).download(from: source) { seen.add($0, $1) }
    XCTAssertEqual(names(in: models), [name])
    let given = await source.given
    XCTAssertEqual(given, whole)
    XCTAssertEqual(seen.last?.0, Int64(whole))
    XCTAssertEqual(seen.last?.1, Int64(whole))
  }

  func testAChangedFileIsRefusedAndReceivedAnewNextTime() async throws {
    let (models, copy) = (try emptyFolder(), try copyOfBundle())
    let program = copy.appendingPathComponent("denoise.pte")
    let right = try Data(contentsOf: program)
    var wrong = right
    wrong[0] ^= 1
    try wrong.write(to: program)
    let text = await lineOfError { try await BundleInstaller(models: models).download(from: Line(copy)) }
    XCTAssertTrue(text.hasPrefix("denoise.pte: expected SHA-256"), text)
    try right.write(to: program)
    let name = try await BundleInstaller(models: models).download(from: Line(copy))
    XCTAssertEqual(names(in: models), [name])
  }

  func testALongerFileIsRefused() async throws {
    let (models, copy) = (try emptyFolder(), try copyOfBundle())
    let program = copy.appendingPathComponent("denoise.pte")
    try (Data(contentsOf: program) + Data([0])).write(to: program)
    let text = await lineOfError { try await BundleInstaller(models: models).download(from: Line(copy)) }
    XCTAssertTrue(text.contains("bytes, got more"), text)
  }

  func testAShorterFileIsRefusedAndKept() async throws {
    let (models, copy) = (try emptyFolder(), try copyOfBundle())
    let program = copy.appendingPathComponent("denoise.pte")
    try Data(contentsOf: program).dropLast().write(to: program)
    let text = await lineOfError { try await BundleInstaller(models: models).download(from: Line(copy)) }
    XCTAssertTrue(text.contains("try again to receive the rest"), text)
  }

  func testUnfinishedDownloadsCanBeRemoved() async throws {
    let models = try emptyFolder()
    let bundle = try smallBundle()  // which skips the test without one
    _ = await lineOfError {
      try await BundleInstaller(models: models).download(from: Line(bundle, breaksAfter: 10))
    }
    XCTAssertEqual(names(in: models).count, 1)
    let copy = models.appendingPathComponent(".copy-1")
    try FileManager.default.createDirectory(at: copy, withIntermediateDirectories: false)
    try BundleInstaller(models: models).removeUnfinished(downloadsBefore: .distantPast)
    XCTAssertEqual(names(in: models).count, 1, "the download may be resumed, the copy cannot be")
    try BundleInstaller(models: models).removeUnfinished(downloadsBefore: .distantFuture)
    XCTAssertEqual(names(in: models), [])
  }

  func testAddressesAreHttps() async {
    for wrong in ["", "emoji", "http://example.org/x", "file:///etc/passwd", "ftp://x/y", "https://"] {
      let text = await lineOfError { try WebSource(address: wrong) }
      XCTAssertTrue(text.hasPrefix("address: expected https://"), text)
    }
  }
}

/// Over HTTP; the server of tests/apps/ios/test_app.py breaks every first answer off, and knows `Range`.
final class WebTests: XCTestCase {
  private func address(_ path: String) throws -> String {
    guard let server = ProcessInfo.processInfo.environment["SAMPLE_SERVER"] else {
      throw XCTSkip("no SAMPLE_SERVER; tests/apps/ios/test_app.py starts one")
    }
    return server + path
  }

  private func download(_ path: String, tries: Int) async throws -> [String] {
    let models = try emptyFolder()
    let source = try WebSource(address: try address(path))
    for _ in 0..<tries {
      do {
        let name = try await BundleInstaller(models: models).download(from: source)
        XCTAssertEqual(names(in: models), [name])
        return [name]
      } catch let error as DiffusionError where error.description.contains("try again") {
        continue
      }
    }
    return []
  }

  func testABundleComesThroughALineThatBreaks() async throws {
    let found = try await download("/breaking/", tries: 8)
    XCTAssertEqual(found.count, 1)
  }

  func testAServerWithoutRangesSendsTheWholeAgain() async throws {
    let found = try await download("/whole/manifest.json", tries: 8)
    XCTAssertEqual(found.count, 1)
  }

  func testAMissingBundleIsSaid() async throws {
    let models = try emptyFolder()
    let source = try WebSource(address: try address("/nothing/"))
    let text = await lineOfError { try await BundleInstaller(models: models).download(from: source) }
    XCTAssertEqual(text, "manifest.json: expected the file from the server, got status 404; look at the address")
    XCTAssertEqual(names(in: models), [])
  }

  func testCancellingEndsADownload() async throws {
    let models = try emptyFolder()
    let source = try WebSource(address: try address("/slow/"))
    let task = Task { try await BundleInstaller(models: models).download(from: source) }
    try await Task.sleep(for: .milliseconds(300))
    task.cancel()
    do {
      _ = try await task.value
      XCTFail("expected a cancellation")
    } catch {
      XCTAssertTrue(error is CancellationError, "\(error)")
    }
  }
}
