/// The programs that a model consists of.
public enum Stage: String, CaseIterable, Sendable {
  /// Tokens to context: once for a prompt, and with guidance once for what the picture should not show.
  case encodeText = "encode_text"
  /// Latents one step further.
  case denoise
  /// Latents to a picture.
  case decodeImage = "decode_image"
  /// A picture to latents; needed to start from a picture, and only some bundles have it.
  case encodeImage = "encode_image"
  /// Hint pictures to what `denoise` reads of them; only bundles with ControlNets have it.
  case encodeHint = "encode_hint"

  /// The stages that a drawing needs, in the order of their first call.
  public static let drawing: [Stage] = [.encodeText, .denoise, .decodeImage]
}
