import MobileDiffusionKit
import SampleCore

/// A pipeline that stops for one seed after a step, so that the screen of a drawing under way can be rendered.
struct HaltingArtist: Artist {
  static let seedText = "2"
  /// The share of the steps that are taken.
  static let share = 5.0 / 8
  let pipeline: Pipeline

  func draw(_ request: DrawRequest, pictures: Int) -> AsyncThrowingStream<DrawEvent, any Error> {
    guard String(request.seed) == Self.seedText else { return pipeline.draw(request, pictures: pictures) }
    return AsyncThrowingStream { continuation in
      let task = Task {
        for try await event in pipeline.draw(request) {
          continuation.yield(event)
          if case .step(let step, let steps, _) = event, Double(step) >= Self.share * Double(steps) { break }
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  func knows(_ prompt: String) throws -> Bool {
    try pipeline.knows(prompt)
  }

  func unload() async {
    await pipeline.unload()
  }

  func close() async {
    await pipeline.close()
  }
}
