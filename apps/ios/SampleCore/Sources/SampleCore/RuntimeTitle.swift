/// Names of runtimes as the screens show them: names, and so the same in every language.
public enum RuntimeTitle {
  private static let titles = [
    "coreai": "Core AI", "coreml": "Core ML", "executorch": "ExecuTorch (Core ML)", "xnnpack": "ExecuTorch",
  ]

  /// The title of a runtime by its name in the manifest; the name where it has none.
  public static func of(_ name: String) -> String {
    titles[name] ?? name
  }
}
