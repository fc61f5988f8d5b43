import Foundation

/// The one error a user can meet: a line that says what was expected, what was got, and how to fix it.
public struct DiffusionError: Error, Equatable, CustomStringConvertible, LocalizedError, Sendable {
  /// The line.
  public let description: String

  public init(_ description: String) {
    self.description = description
  }

  public var errorDescription: String? { description }
}

/// Throws a `DiffusionError` unless the condition holds.
func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
  if !condition { throw DiffusionError(message()) }
}
