/// How a prompt names a style.
public enum PromptStyle {
  /// A prompt in one of a manifest's styles: "a cat, 3d". It stays as typed for the style "", and when it is empty.
  public static func apply(_ style: String, to prompt: String) -> String {
    style.isEmpty || prompt.isEmpty ? prompt : "\(prompt), \(style)"
  }
}
