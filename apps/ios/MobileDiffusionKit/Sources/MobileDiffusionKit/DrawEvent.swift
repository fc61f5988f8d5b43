/// What happens while a picture is drawn.
public enum DrawEvent: Equatable, Sendable {
  /// A stage is about to be brought into memory.
  case loading(Stage)
  /// `step` of `steps` have been taken; `preview` shows the latents where the bundle says how.
  case step(Int, steps: Int, preview: Picture?)
  /// A picture, and the time since the drawing began, or since the picture before; nothing follows the last.
  case finished(Picture, milliseconds: Double)
}
