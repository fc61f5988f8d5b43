import Foundation

public struct LocalizedStringKey: ExpressibleByStringInterpolation, Equatable {
  public struct StringInterpolation: StringInterpolationProtocol {
    var key = ""
    var arguments: [String] = []

    public init(literalCapacity: Int, interpolationCount: Int) {}
    public mutating func appendLiteral(_ literal: String) { key += literal }
    public mutating func appendInterpolation(_ string: String) { add("%@", string) }
    public mutating func appendInterpolation(_ value: Int) { add("%lld", String(value)) }
    public mutating func appendInterpolation<F: FormatStyle>(_ input: F.FormatInput, format: F)
    where F.FormatInput: Equatable, F.FormatOutput == String {
      add("%@", format.format(input))
    }

    private mutating func add(_ specifier: String, _ value: String) {
      key += specifier
      arguments.append(value)
    }
  }

  let key: String
  let arguments: [String]

  public init(_ value: String) { (key, arguments) = (value, []) }
  public init(stringLiteral value: String) { self.init(value) }
  public init(stringInterpolation: StringInterpolation) {
    (key, arguments) = (stringInterpolation.key, stringInterpolation.arguments)
  }

  /// The text in the language that is shown, its arguments filled in.
  @MainActor var text: String {
    var text = Rendering.text(for: key)
    for (index, argument) in arguments.enumerated() {
      for specifier in ["%\(index + 1)$@", "%\(index + 1)$lld"] {
        text = text.replacingOccurrences(of: specifier, with: argument)
      }
      guard let place = text.range(of: "%(@|lld)", options: .regularExpression) else { continue }
      text.replaceSubrange(place, with: argument)
    }
    return text
  }
}
