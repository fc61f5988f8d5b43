import Foundation
import MobileDiffusionKit

/// A picture of the history: what it was drawn from, and how long it took.
public struct Drawing: Codable, Hashable, Identifiable, Sendable {
  public let id: UUID
  /// As it was typed, without the style.
  public let prompt: String
  /// The style that was chosen, or "".
  public let style: String
  public let seed: UInt64
  /// Scale of guidance; nil for models that have it in their weights.
  public let guidance: Double?
  /// Name of the model.
  public let model: String
  /// The runtime that drew, by its name in the manifest; nil in histories of older versions.
  public let runtime: String?
  public let date: Date
  /// From the request to the picture.
  public let milliseconds: Double
  /// Share of the steps that were made of a picture, which is not kept; nil when it was drawn from noise.
  public let strength: Double?
  /// How the prompt writes weights; nil in histories of older versions, which knew none.
  public let syntax: PromptSyntax?

  public init(
    id: UUID = UUID(), prompt: String, style: String, seed: UInt64, guidance: Double?, model: String,
    runtime: String?, date: Date = Date(), milliseconds: Double, strength: Double? = nil,
    syntax: PromptSyntax? = nil
  ) {
    self.id = id
    self.prompt = prompt
    self.style = style
    self.seed = seed
    self.guidance = guidance
    self.model = model
    self.runtime = runtime
    self.date = date
    self.milliseconds = milliseconds
    self.strength = strength
    self.syntax = syntax
  }

  /// The prompt with its style, as the model was given it.
  public var fullPrompt: String { PromptStyle.apply(style, to: prompt) }
}
