import Foundation
import MobileDiffusionKit

/// A benchmark that was asked for from outside, `--benchmark NAME --runs N --threads T`, or a comparison with PyTorch,
/// `--golden NAME --threads T`.
///
/// `--threads` is read, so that one command serves Android and iOS, and changes nothing: Core ML and the published
/// ExecuTorch package choose their threads by themselves, and the report says so with null.
public struct BenchmarkOrder: Equatable, Sendable {
  /// Folder of the bundle in `Documents/models`.
  public let name: String
  /// Timed runs of each stage, 1 to 1000.
  public let runs: Int
  /// Whether to compare instead of timing.
  public let isGolden: Bool

  public init(name: String, runs: Int = 10, isGolden: Bool = false) {
    (self.name, self.runs, self.isGolden) = (name, runs, isGolden)
  }

  /// Reads launch arguments; nil when no benchmark is asked for, which is the usual start.
  ///
  /// Throws `DiffusionError` in one line for a name that is no folder's, and for numbers that are none or out of range.
  /// Arguments that the system adds are passed over.
  public static func read(_ arguments: [String]) throws -> BenchmarkOrder? {
    let golden = try value(of: "--golden", in: arguments)
    guard let name = try golden ?? value(of: "--benchmark", in: arguments) else { return nil }
    guard isFolderName(name) else {
      let option = golden == nil ? "--benchmark" : "--golden"
      throw DiffusionError("\(option): expected the name of a folder in Documents/models, got \"\(name)\"")
    }
    let runs = try number(of: "--runs", in: arguments, range: 1...1000) ?? 10
    _ = try number(of: "--threads", in: arguments, range: 1...256)
    return BenchmarkOrder(name: name, runs: runs, isGolden: golden != nil)
  }

  /// Whether a text names a folder in another folder, and nothing above, below or hidden.
  static func isFolderName(_ text: String) -> Bool {
    !text.isEmpty && !text.hasPrefix(".") && !text.contains("/") && !text.contains("\0")
  }

  private static func value(of option: String, in arguments: [String]) throws -> String? {
    guard let place = arguments.firstIndex(of: option) else { return nil }
    guard place + 1 < arguments.count else { throw DiffusionError("\(option): expected a value after it, got none") }
    return arguments[place + 1]
  }

  private static func number(of option: String, in arguments: [String], range: ClosedRange<Int>) throws -> Int? {
    guard let text = try value(of: option, in: arguments) else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw DiffusionError("\(option): expected \(range.lowerBound) to \(range.upperBound), got \"\(text)\"")
    }
    return number
  }
}
