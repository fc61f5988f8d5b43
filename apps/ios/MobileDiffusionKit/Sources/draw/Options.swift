import MobileDiffusionKit

/// The command line.
struct Options {
  static let usage = """
    Draws a picture with a bundle that `mobile-diffusion export android` has written.

      draw --bundle build/android --prompt "a red apple, 3d" --seed 7 --out apple.rgb

      --bundle DIR     the bundle; its manifest and every file that is used are verified
      --prompt TEXT    what to draw; "" is the null condition
      --negative TEXT  what the picture should not show
      --prompt-syntax S
                       weights in both prompts: plain, a1111 or compel; plain by default
      --seed N         0 to 18446744073709551615; the same seed gives the same picture everywhere
      --guidance X     scale of guidance, up to 30; 1 or less is none; the bundle's own by default
      --out FILE.rgb   the picture as raw bytes: rows from the top, red, green and blue of every pixel
      --threads N      1 to 256; 2 by default
      --sequential     hold one stage in memory at a time
      --benchmark N    time each stage N times instead of drawing: latency.json on standard output
      --golden         compare every stage, step and picture with PyTorch's, which are in the bundle: JSON

    Exit status: 0; 1 when a comparison misses its limit; 2 with one line on standard error for anything that cannot be used.

    """

  var bundle = ""
  var request = DrawRequest(prompt: "")
  var out: String?
  var threads = 2
  var benchmark: Int?
  var isSequential = false
  var isGolden = false
  var wantsHelp = false

  /// Throws one line for an option that is unknown, incomplete, or has a value that cannot be used.
  init(_ arguments: [String]) throws {
    var rest = arguments[...]
    var hasPrompt = false
    while let name = rest.popFirst() {
      if readFlag(name) { continue }
      guard Self.names.contains(name) else {
        throw DiffusionError("expected an option, got '\(name)'; see --help")
      }
      guard let text = rest.popFirst() else { throw DiffusionError("\(name): expected a value, got none; see --help") }
      try readValue(name, text)
      hasPrompt = hasPrompt || name == "--prompt"
    }
    if wantsHelp { return }
    if bundle.isEmpty { throw DiffusionError("--bundle: expected a bundle's folder, got none; see --help") }
    if isGolden {
      let foreign = hasPrompt ? "--prompt" : benchmark != nil ? "--benchmark" : out != nil ? "--out" : nil
      guard let foreign else { return }
      throw DiffusionError("--golden: expected no \(foreign), as the bundle's own drawings are compared")
    }
    if !hasPrompt { throw DiffusionError("--prompt: expected what to draw, got none; see --help") }
    if benchmark != nil, out != nil {
      throw DiffusionError("--benchmark: expected no --out, as nothing is drawn")
    }
  }

  private static let names = [
    "--bundle", "--prompt", "--negative", "--prompt-syntax", "--seed", "--guidance", "--out", "--threads",
    "--benchmark",
  ]

  private mutating func readFlag(_ name: String) -> Bool {
    switch name {
    case "--help": wantsHelp = true
    case "--sequential": isSequential = true
    case "--golden": isGolden = true
    default: return false
    }
    return true
  }

  private mutating func readValue(_ name: String, _ text: String) throws {
    switch name {
    case "--bundle": bundle = text
    case "--prompt": request.prompt = text
    case "--negative": request.negative = text
    case "--prompt-syntax":
      guard let syntax = PromptSyntax(rawValue: text) else {
        let choices = PromptSyntax.allCases.map(\.rawValue).joined(separator: " or ")
        throw DiffusionError("\(name): expected \(choices), got '\(text)'")
      }
      request.syntax = syntax
    case "--seed": request.seed = try Self.number(name, text, UInt64.init, 0...UInt64.max)
    case "--guidance":
      request.guidance = try Self.number(
        name, text, Self.decimal, -.greatestFiniteMagnitude...30, limits: "a number up to 30")
    case "--threads": threads = try Self.number(name, text, Int.init, 1...256)
    case "--benchmark": benchmark = try Self.number(name, text, Int.init, 1...10_000)
    default: out = text
    }
  }

  private static func number<Number: Comparable>(
    _ name: String, _ text: String, _ read: (String) -> Number?, _ range: ClosedRange<Number>, limits: String? = nil
  ) throws -> Number {
    let limits = limits ?? "\(range.lowerBound) to \(range.upperBound)"
    guard !text.hasPrefix("+"), let number = read(text), range.contains(number) else {
      throw DiffusionError("\(name): expected \(limits), got '\(text)'")
    }
    return number
  }

  /// A number in decimal digits: Double's own reader takes hexadecimal ones too.
  private static func decimal(_ text: String) -> Double? {
    text.utf8.allSatisfy { "0123456789.eE-".utf8.contains($0) } ? Double(text) : nil
  }
}
