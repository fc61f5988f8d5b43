import ExecuTorch
import ExecuTorchRunner
import Foundation
import MobileDiffusionKit

/// Opens a bundle and draws, or measures, on the host's ExecuTorch: the app's code without its screens.
@main
struct Draw {
  static func main() async {
    do {
      try await run(try Options(try arguments()))
    } catch {
      FileHandle.standardError.write(Data("\(error)\n".utf8))
      exit(2)
    }
  }

  private static func run(_ options: Options) async throws {
    if options.wantsHelp { return print(Options.usage, terminator: "") }
    let bundle = try ModelBundle.open(URL(fileURLWithPath: options.bundle))
    Module.hostThreads = Int32(options.threads)
    let runner = try ExecuTorchRunner(bundle: bundle, threads: options.threads)
    let pipeline = try Pipeline(bundle: bundle, runner: runner, memory: options.isSequential ? .sequential : .keep)
    if options.isGolden { return try await compare(pipeline, try bundle.runtime("xnnpack")) }
    try warn(options.request.prompt, pipeline.tokenizer)
    if let line = options.request.unusedNegative(bundle.manifest.schedule) { warn(line) }
    if let runs = options.benchmark {
      print(try await Benchmark(pipeline, runs: runs).report(of: options.request).json, terminator: "")
      return
    }
    for try await case .finished(let picture, _) in pipeline.draw(options.request) {
      if let file = options.out { try write(picture, to: file) }
    }
  }

  /// Prints every comparison with PyTorch; ends with status 1 when one misses its limit.
  private static func compare(_ pipeline: Pipeline, _ runtime: Runtime) async throws {
    let report = try await GoldenCheck(pipeline, runtime: runtime).report()
    print(report.json, terminator: "")
    if !report.isPassed { exit(1) }
  }

  /// Says when the end of a prompt, or all of it, is ignored.
  private static func warn(_ prompt: String, _ tokenizer: any Tokenizer) throws {
    let tokens = try tokenizer.encode(prompt)
    let count = tokens.count
    if !tokens.isKnown {
      let line = "the model knows no word of the prompt: the picture is any picture; use other words\n"
      FileHandle.standardError.write(Data(line.utf8))
    }
    guard count > tokenizer.maxTokens else { return }
    warn("the prompt has \(count) tokens and the model reads \(tokenizer.maxTokens): its end is ignored; shorten it")
  }

  private static func warn(_ line: String) {
    FileHandle.standardError.write(Data("\(line)\n".utf8))
  }

  private static func write(_ picture: Picture, to file: String) throws {
    do {
      try Data(picture.rgb).write(to: URL(fileURLWithPath: file), options: .atomic)
    } catch {
      throw DiffusionError(
        "\(file): expected a file that can be written, got a full disk, a missing folder or no permission")
    }
  }

  /// The arguments as they were given: the usual list replaces bytes that are not UTF-8.
  private static func arguments() throws -> [String] {
    try (1..<max(1, Int(CommandLine.argc))).map { place in
      guard let bytes = CommandLine.unsafeArgv[place], let text = String(validatingCString: bytes) else {
        throw DiffusionError("expected a prompt of valid Unicode in UTF-8, got other bytes: encode the prompt as UTF-8")
      }
      return text
    }
  }
}
