import MobileDiffusionKit
import XCTest

@testable import SampleCore

@MainActor
final class DrawModelTests: XCTestCase {
  private let model = DrawModel()
  private var kept: [(Drawing, Picture)] = []

  private func draw(_ play: Play, card: ModelCard = .named("emoji")) {
    model.draw(card: card, use: { try await $1(play) }, keep: { self.kept.append(($0, $1)) })
  }

  func testAPictureIsDrawnWithItsStyleAndKeptOnce() async {
    (model.prompt, model.style, model.seedText, model.guidance) = ("a cat", "3d", "7", 4.5)
    let play = Play()
    draw(play)
    XCTAssertEqual(model.phase, .preparing)
    await model.finish()
    XCTAssertEqual(model.phase, .finished)
    XCTAssertEqual(model.picture, Play.picture)
    XCTAssertEqual(model.times?.total, 12)
    XCTAssertEqual(model.times?.steps.count, 1)
    XCTAssertNil(model.preview)
    let requests = await play.requests
    XCTAssertEqual(requests, [DrawRequest(prompt: "a cat, 3d", seed: 7, guidance: 4.5)])
    XCTAssertEqual(kept.count, 1)
    XCTAssertEqual(kept.first?.0.prompt, "a cat")
    XCTAssertEqual(kept.first?.0.fullPrompt, "a cat, 3d")
    XCTAssertEqual(kept.first?.0.model, "emoji")
  }

  func testSeveralPicturesHaveSeedsOneAfterTheOther() async {
    (model.prompt, model.seedText, model.pictures) = ("a cat", "7", 3)
    let play = Play()
    draw(play)
    await model.finish()
    XCTAssertEqual(model.phase, .finished)
    XCTAssertEqual(model.number, 3)
    let requests = await play.requests
    XCTAssertEqual(requests.map(\.seed), [7, 8, 9])
    let drawings = await play.drawings
    XCTAssertEqual(drawings, 1, "what no seed changes is computed once")
    XCTAssertEqual(kept.map(\.0.seed), [7, 8, 9])
    model.seedText = String(UInt64.max - 1)
    draw(play)
    XCTAssertEqual(
      model.phase, .failed("seed: expected 3 seeds from it on, got 18446744073709551614; take a smaller one"))
  }

  func testAPictureToStartFromGoesToModelsThatTakeOne() async {
    let size = PixelSize(width: 2, height: 1)
    var mask = MaskGrid(size: PixelSize(width: 4, height: 2))
    XCTAssertNil(StartPicture(picture: Play.picture, mask: mask).pixelMask)
    mask.paint(x: 0.9, y: 0.2)
    XCTAssertEqual(mask.cells, [0, 0, 0, 1, 0, 0, 0, 0])
    let large = Picture(width: 8, height: 4, rgb: [UInt8](repeating: 0, count: 96))
    let row: [UInt8] = [0, 0, 0, 0, 0, 0, 1, 1]
    let rest = [UInt8](repeating: 0, count: 16)
    XCTAssertEqual(StartPicture(picture: large, mask: mask).pixelMask, row + row + rest)
    (model.prompt, model.strength, model.start) = ("a cat", 0.5, StartPicture(picture: Play.picture, mask: mask))
    let play = Play()
    draw(play, card: .named("emoji", startSize: size))
    await model.finish()
    draw(play)
    await model.finish()
    let requests = await play.requests
    XCTAssertEqual(
      requests.map(\.start), [Start(picture: Play.picture, strength: 0.5, mask: [0, 0]), nil])
    XCTAssertEqual(kept.map(\.0.strength), [0.5, nil])
    let tinted = StartPicture(picture: Play.picture, mask: mask).shown
    XCTAssertEqual(tinted, Play.picture, "what is painted lies between its pixels' corners")
    mask.paint(x: 0.6, y: 0.2)
    XCTAssertEqual(StartPicture(picture: Play.picture, mask: mask).shown.rgb, [255, 0, 0, 45, 34, 234])
    mask.clear()
    XCTAssertEqual(StartPicture(picture: Play.picture, mask: mask).shown, Play.picture)
  }

  func testAModelThatEditsPicturesIsGivenTheWholeOfItAndNoStrength() async {
    let start = StartPicture(picture: Play.picture, mask: MaskGrid(size: PixelSize(width: 2, height: 1)))
    (model.prompt, model.strength, model.start) = ("a cat", 0.5, start)
    let play = Play()
    draw(play, card: .named("edit", startSize: Play.picture.size, edits: true))
    await model.finish()
    let requests = await play.requests
    XCTAssertEqual(requests.map(\.start), [Start(picture: Play.picture)])
  }

  func testEachControlNetIsGivenItsPictureAndStrengthAndOtherModelsNone() async {
    let card = ModelCard.named("steered", controls: 2)
    model.prompt = "a cat"
    model.offer(card)
    XCTAssertEqual(model.hints, [HintChoice(), HintChoice()])
    model.hints = [HintChoice(picture: Play.picture, scale: 0.5), HintChoice(picture: Play.picture)]
    model.offer(card)
    let play = Play()
    draw(play, card: card)
    await model.finish()
    draw(play)
    await model.finish()
    model.hints[0].picture = Picture(width: 1, height: 1, rgb: [0, 0, 0])
    model.offer(card)
    draw(play, card: card)
    await model.finish()
    let hints = await play.requests.map(\.hints)
    let whole = [Hint(picture: Play.picture, scale: 0.5), Hint(picture: Play.picture)]
    XCTAssertEqual(hints, [whole, [], [whole[1]]], "the pipeline says what is missing")
  }

  func testWeightsAreReadInTheSyntaxThatWasChosen() async {
    (model.prompt, model.syntax) = ("a (cat:1.3)", .a1111)
    let play = Play()
    draw(play)
    await model.finish()
    let requests = await play.requests
    XCTAssertEqual(requests.map(\.syntax), [.a1111])
    model.syntax = .plain
    model.reuse(kept[0].0)
    XCTAssertEqual(model.syntax, .a1111)
  }

  func testPicturesOfAnySizeFillTheModels() async {
    let cover = Cover(width: 4000, height: 2000, of: PixelSize(width: 100, height: 100))
    XCTAssertEqual([cover.width, cover.height, cover.left, cover.top], [200, 100, -50, 0])
  }

  func testAPromptWithoutAKnownWordSaysSoWhateverItsStyle() async {
    for (prompt, unknown) in [("\u{1F34E}", true), ("a cat", false)] {
      (model.prompt, model.style) = (prompt, "3d")
      draw(Play())
      await model.finish()
      XCTAssertEqual(model.phase, .finished)
      XCTAssertEqual(model.wordsUnknown, unknown)
    }
  }

  func testAModelIsAskedForNoGuidanceAndNoStyleThatItDoesNotHave() async {
    (model.prompt, model.style) = ("a cat", "3d")
    let play = Play()
    draw(play, card: .named("lcm", guidance: nil, styles: ["flat"]))
    await model.finish()
    let requests = await play.requests
    XCTAssertEqual(requests.map(\.guidance), [nil])
    XCTAssertEqual(requests.map(\.prompt), ["a cat"])
    XCTAssertEqual(kept.map(\.0.style), [""])
  }

  func testCancellingLeavesTheLastPictureAndKeepsNothing() async throws {
    model.prompt = "a cat"
    draw(Play())
    await model.finish()
    draw(Play(.wait))
    for _ in 0..<500 where model.phase != .drawing(step: 2, steps: 4) { try await Task.sleep(for: .milliseconds(2)) }
    XCTAssertEqual(model.phase, .drawing(step: 2, steps: 4))
    XCTAssertFalse(model.canDraw)
    model.cancel()
    await model.finish()
    XCTAssertEqual(model.phase, .cancelled)
    XCTAssertEqual(model.picture, Play.picture)
    XCTAssertEqual(kept.count, 1)
    XCTAssertTrue(model.canDraw)
  }

  func testAFailureIsShownAsOneLine() async {
    model.prompt = "a cat"
    draw(Play(.fail("expected one\ngot two")))
    await model.finish()
    XCTAssertEqual(model.phase, .failed("expected one got two"))
    XCTAssertTrue(kept.isEmpty)
  }

  func testAModelThatCannotBeOpenedIsShownAsOneLine() async {
    model.prompt = "a cat"
    model.draw(card: .named("x"), use: { _, _ in throw DiffusionError("no") }, keep: { _, _ in XCTFail("kept") })
    await model.finish()
    XCTAssertEqual(model.phase, .failed("no"))
  }

  func testNothingIsDrawnWithoutPromptOrSeed() async {
    XCTAssertFalse(model.canDraw)
    model.prompt = "a cat"
    XCTAssertTrue(model.canDraw)
    model.seedText = "seven"
    draw(Play())
    XCTAssertEqual(model.phase, .idle)
  }

  func testAnEarlierPictureGivesItsSettingsBack() async {
    let earlier = Drawing(
      prompt: "a dog", style: "flat", seed: .max, guidance: nil, model: "m", runtime: "coreml", milliseconds: 1)
    model.guidance = 2
    model.reuse(earlier)
    XCTAssertEqual(model.prompt, "a dog")
    XCTAssertEqual(model.style, "flat")
    XCTAssertEqual(model.seed, .max)
    XCTAssertEqual(model.guidance, 2)
  }

  func testSeedsAreAsciiDigitsOfSixtyFourBits() async {
    XCTAssertEqual(Seed.read("18446744073709551615"), .max)
    for wrong in ["", "18446744073709551616", "-1", "+1", "1.0", "1,000", " 1", "٣", "Ⅷ", "1e3"] {
      XCTAssertNil(Seed.read(wrong), wrong)
    }
    XCTAssertLessThan(Seed.random(), 1_000_000)
  }

  func testTheStepsTimeIsTheMiddleOne() async {
    XCTAssertEqual(DrawTimes(first: 9, steps: [1, 5, 2], decoding: 0, total: 0).step, 2)
    XCTAssertEqual(DrawTimes(first: 9, steps: [1, 2, 3, 8], decoding: 0, total: 0).step, 2.5)
    XCTAssertNil(DrawTimes(first: 9, steps: [], decoding: 0, total: 0).step)
  }
}
