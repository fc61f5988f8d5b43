/// What a bundle says of itself: `manifest.json`, read as strictly as Python reads it.
public struct Manifest: Equatable, Sendable {
  /// The version of the schema that is read here; others are refused.
  public static let schemaVersion: Int64 = 7

  /// Name of the model.
  public let model: String
  /// Licence of the model.
  public let licence: String
  /// Styles that the model was trained on, which a prompt can name; empty for a model without.
  public let styles: [String]
  /// Width of the context per text encoder, in the order in which they are joined.
  public let textWidths: [Int]
  /// Pixels of a picture.
  public let width: Int
  /// Pixels of a picture.
  public let height: Int
  /// "ios" or "android".
  public let target: String
  /// Inputs and outputs of every stage; the same for every runtime.
  public let stages: [StageSpec]
  /// Ways to run the model; one of them is primary.
  public let runtimes: [Runtime]
  /// The sampler inside `denoise`.
  public let schedule: Schedule
  /// How a prompt becomes tokens.
  public let tokenizer: TokenizerSpec
  /// Index of the golden vectors.
  public let golden: String
  /// What the programs must keep to, as measured at export.
  public let parity: [ParityLimit]
  /// Files of the bundle by their path in it, the manifest left out.
  public let files: [String: FileSpec]

  /// Inputs and outputs of a stage; nil when the bundle has no such stage.
  public func spec(of stage: Stage) -> StageSpec? {
    stages.first { $0.stage == stage }
  }
}

/// Name, type and size of a tensor.
public struct TensorSpec: Equatable, Sendable {
  public let name: String
  /// "float32" or "int32".
  public let dtype: String
  /// Sizes, each 1 or more.
  public let shape: [Int]

  /// Number of elements.
  public var count: Int { shape.reduce(1, *) }
}

/// Inputs and outputs of a stage, in order.
public struct StageSpec: Equatable, Sendable {
  public let stage: Stage
  public let inputs: [TensorSpec]
  public let outputs: [TensorSpec]
}

/// The program of one stage for one runtime.
public struct Artifact: Equatable, Sendable {
  public let stage: Stage
  /// A file of the bundle, or a folder of files.
  public let path: String
  /// The function to call inside the program.
  public let method: String
  /// The stage's outputs as the program calls them, in the stage's order.
  public let outputs: [String]
}

/// One way to run the model.
public struct Runtime: Equatable, Sendable {
  public let name: String
  /// Whether an app uses it unless told otherwise.
  public let isPrimary: Bool
  /// Whether its programs were compared with PyTorch before the bundle appeared.
  public let isVerified: Bool
  /// Of the arithmetic inside: "fp32", "fp16", "w8a16", "int8", "int8-dynamic" or "int4-dynamic".
  public let precision: String
  /// Choices of the export that an app has to know, such as `compute_units`.
  public let settings: [String: String]
  /// One for each stage, in the manifest's order.
  public let artifacts: [Artifact]
}

/// What the loop has to know of the sampler.
public struct Schedule: Equatable, Sendable {
  /// Latents before row i of the table are alphas[i] * clean + sigmas[i] * noise.
  public let alphas: [Double]
  public let sigmas: [Double]
  /// Rows of drawings that skip 0, 1, ... steps; empty when those are the last ones of the table.
  public let starts: [[Int]]
  /// Tensors that the solver remembers between steps.
  public let memory: Int
  /// Whether noise is added at the steps.
  public let isStochastic: Bool
  /// How a picture is guided.
  public let guidanceKind: GuidanceKind
  /// Scale of guidance unless another is asked for.
  public let guidance: Double
  /// Share of the guidance at each step of `denoise`; empty where all steps are guided alike.
  public let shares: [Double]
  /// Whether a missing negative prompt is zeros instead of the encoded empty prompt.
  public let isNullZero: Bool

  /// The steps of a whole drawing.
  public var steps: Int { rows().count }

  /// The input `step` of each call of `denoise`, for a drawing that skips its first steps.
  func rows(skipped: Int = 0) -> [Int] {
    starts.isEmpty ? Array(skipped..<alphas.count) : starts[skipped]
  }
}

/// How a picture is guided by its prompt.
public enum GuidanceKind: String, CaseIterable, Sendable {
  /// By two evaluations a step; the scale is an input of `denoise`.
  case cfg
  /// By the model's weights.
  case distilled
  /// Not at all.
  case unguided = "none"
}

/// Kind and files of a tokenizer.
public struct TokenizerSpec: Equatable, Sendable {
  /// The kind of SDXL's two tokenizers.
  public static let pair = "clip-bpe-pair"

  public let kind: String
  /// L, the length of every encoded prompt.
  public let maxTokens: Int64
  /// One, or two of the kind `pair`.
  public let files: [String]
}

/// The least that a comparison with PyTorch must reach.
public struct ParityLimit: Equatable, Sendable {
  public let runtime: String
  /// "encode_text", "free_running", "picture" and so on.
  public let check: String
  /// "snr_db" and "psnr_db" are distances.
  public let metric: String
  public let limit: Double
}

/// Size and hash of a file.
public struct FileSpec: Equatable, Sendable {
  /// Bytes.
  public let size: Int64
  /// 64 digits of lower case hexadecimal.
  public let sha256: String

  public init(size: Int64, sha256: String) {
    self.size = size
    self.sha256 = sha256
  }
}
