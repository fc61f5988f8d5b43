import MobileDiffusionKit
import XCTest

@testable import SampleCore

@MainActor
final class InstallerTests: XCTestCase {
  func testAFolderIsCopiedVerifiedAndListed() async throws {
    let models = try emptyFolder()
    let name = try await BundleInstaller(models: models).install(from: try smallBundle())
    XCTAssertEqual(names(in: models), [name])
    let bundle = try ModelBundle.open(models.appendingPathComponent(name))
    let runtime = try RuntimeChoice.current.runtime(of: bundle.manifest)
    XCTAssertEqual(runtime.name, "xnnpack")
    for stage in Stage.drawing { _ = try bundle.file(stage, for: runtime) }
    XCTAssertFalse(names(in: models.appendingPathComponent(name)).contains("report.html"))

    let shelf = ModelsModel(builtIn: nil, models: models, defaults: try fresh())
    shelf.refresh()
    XCTAssertEqual(shelf.cards.map(\.id), [name])
    XCTAssertEqual(shelf.broken, [])
    XCTAssertEqual(shelf.card?.guidance, bundle.manifest.schedule.guidance)
  }

  func testADamagedBundleLeavesNothing() async throws {
    let (models, copy) = (try emptyFolder(), try copyOfBundle())
    let program = copy.appendingPathComponent("denoise.pte")
    var bytes = try Data(contentsOf: program)
    bytes[bytes.count / 2] ^= 1
    try bytes.write(to: program)
    let text = await lineOfError { try await BundleInstaller(models: models).install(from: copy) }
    XCTAssertTrue(text.contains("denoise.pte: expected SHA-256"), text)
    XCTAssertEqual(names(in: models), [])
  }

  func testALostFileLeavesNothing() async throws {
    let (models, copy) = (try emptyFolder(), try copyOfBundle())
    try FileManager.default.removeItem(at: copy.appendingPathComponent("tokenizer.json"))
    let text = await lineOfError { try await BundleInstaller(models: models).install(from: copy) }
    XCTAssertTrue(text.contains("tokenizer.json"), text)
    XCTAssertEqual(names(in: models), [])
  }

  func testALinkIsRefused() async throws {
    let (models, copy) = (try emptyFolder(), try copyOfBundle())
    let program = copy.appendingPathComponent("denoise.pte")
    let elsewhere = copy.deletingLastPathComponent().appendingPathComponent("elsewhere.pte")
    try FileManager.default.moveItem(at: program, to: elsewhere)
    try FileManager.default.createSymbolicLink(at: program, withDestinationURL: elsewhere)
    let text = await lineOfError { try await BundleInstaller(models: models).install(from: copy) }
    XCTAssertTrue(text.contains("denoise.pte"), text)
    XCTAssertEqual(names(in: models), [])
  }

  func testAModelOfTheSameNameIsLeftAlone() async throws {
    let models = try emptyFolder()
    let installer = BundleInstaller(models: models)
    let name = try await installer.install(from: try smallBundle())
    let text = await lineOfError { try await installer.install(from: try smallBundle()) }
    XCTAssertTrue(text.hasPrefix("\(name): expected a new model"), text)
    XCTAssertEqual(names(in: models), [name])
  }

  func testAFolderThatIsNoBundleIsRefused() async throws {
    let (models, other) = (try emptyFolder(), try emptyFolder())
    let text = await lineOfError { try await BundleInstaller(models: models).install(from: other) }
    XCTAssertTrue(text.contains("expected a bundle with manifest.json, got none"), text)
    try Data("{}".utf8).write(to: other.appendingPathComponent("manifest.json"))
    _ = await lineOfError { try await BundleInstaller(models: models).install(from: other) }
    XCTAssertEqual(names(in: models), [])
  }

  func testFoldersThatAreNoModelsAreNamedWithTheReason() async throws {
    let models = try emptyFolder()
    try FileManager.default.createDirectory(
      at: models.appendingPathComponent("notes"), withIntermediateDirectories: true)
    try FileManager.default.createDirectory(
      at: models.appendingPathComponent(".incoming-x"), withIntermediateDirectories: true)
    let shelf = ModelsModel(builtIn: nil, models: models, defaults: try fresh())
    shelf.refresh()
    XCTAssertEqual(shelf.cards, [])
    XCTAssertEqual(shelf.broken.map(\.id), ["notes"])
    XCTAssertThrowsError(try shelf.find("notes"))
    XCTAssertThrowsError(try shelf.find("other"))
    shelf.delete(try XCTUnwrap(shelf.broken.first))
    XCTAssertEqual(shelf.broken, [])
  }

  func testAddingSelectsAndDeletingFallsBack() async throws {
    let (models, defaults) = (try emptyFolder(), try fresh())
    let shelf = ModelsModel(builtIn: nil, models: models, defaults: defaults)
    shelf.add(folder: try smallBundle())
    XCTAssertTrue(shelf.isBusy)
    await shelf.finish()
    XCTAssertFalse(shelf.isBusy)
    XCTAssertNil(shelf.problem)
    let card = try XCTUnwrap(shelf.card)
    XCTAssertEqual(shelf.selected, card.id)
    shelf.delete(card)
    XCTAssertNil(shelf.card)
    XCTAssertEqual(names(in: models), [])
  }

  private func fresh() throws -> UserDefaults {
    let defaults = try XCTUnwrap(UserDefaults(suiteName: "sample-tests"))
    defaults.removeObject(forKey: "model")
    return defaults
  }
}
