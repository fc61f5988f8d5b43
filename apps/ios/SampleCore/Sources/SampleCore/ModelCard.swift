import Foundation
import MobileDiffusionKit

/// What a list of models says of one.
public struct ModelCard: Hashable, Identifiable, Sendable {
  /// Name of its folder.
  public let id: String
  public let folder: URL
  /// SHA-256 of its manifest, which names the hash of every file: another one is another model.
  public let digest: String
  /// The model's own name.
  public let title: String
  public let licence: String
  /// The runtime that the app takes, "coreml" for example.
  public let runtime: String
  /// Of the arithmetic inside, "fp16" for example.
  public let precision: String
  public let steps: Int
  /// Scale of guidance when none is asked for; nil when the model has it in its weights.
  public let guidance: Double?
  /// The styles that a prompt can name.
  public let styles: [String]
  /// Size of a picture to start from; nil when the model cannot start from one.
  public let startSize: PixelSize?
  /// Size of the latents, in which a mask is painted; nil as `startSize`.
  public let latentSize: PixelSize?
  /// Whether it edits the whole of that picture, in every step.
  public let edits: Bool
  /// Size of the pictures that it draws, and of those that its ControlNets read.
  public let pictureSize: PixelSize?
  /// ControlNets, each of which reads a picture.
  public let controls: Int
  /// Size of what the app reads, in bytes.
  public let bytes: Int64
  /// Whether it came with the app, and cannot be deleted.
  public let isBuiltIn: Bool

  public init(
    id: String, folder: URL, digest: String, title: String, licence: String, runtime: String, precision: String,
    steps: Int, guidance: Double?, styles: [String], startSize: PixelSize? = nil, latentSize: PixelSize? = nil,
    edits: Bool = false, pictureSize: PixelSize? = nil, controls: Int = 0, bytes: Int64, isBuiltIn: Bool
  ) {
    self.id = id
    self.folder = folder
    self.digest = digest
    self.title = title
    self.licence = licence
    self.runtime = runtime
    self.precision = precision
    self.steps = steps
    self.guidance = guidance
    self.styles = styles
    self.startSize = startSize
    self.latentSize = latentSize
    self.edits = edits
    self.pictureSize = pictureSize
    self.controls = controls
    self.bytes = bytes
    self.isBuiltIn = isBuiltIn
  }
}
