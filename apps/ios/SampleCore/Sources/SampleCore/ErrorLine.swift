import Foundation
import MobileDiffusionKit

extension DiffusionError {
  /// The line of any error, without line breaks.
  public static func line(of error: any Error) -> String {
    let text = (error as? any LocalizedError)?.errorDescription ?? error.localizedDescription
    return text.split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}
