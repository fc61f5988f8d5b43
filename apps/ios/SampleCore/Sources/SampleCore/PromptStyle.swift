/// The ending of a prompt that names a set of drawings, as the captions of the training data have it: "a cat, 3d".
///
/// The emoji model has seen `threeD` alone; a model that was trained on more sets knows the others.
public enum PromptStyle: String, CaseIterable, Codable, Sendable, Identifiable {
  case plain = ""
  case threeD = "3d"
  case fluent = "fluent"
  case flat = "flat"
  case noto = "noto"

  public var id: Self { self }

  /// The prompt with the ending; an empty prompt has none.
  public func applied(to prompt: String) -> String {
    self == .plain || prompt.isEmpty ? prompt : "\(prompt), \(rawValue)"
  }
}
