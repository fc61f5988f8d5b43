import Foundation

/// A prompt as the text encoder reads it; of SDXL's two tokenizers, the second's L numbers follow the first's.
public struct Tokens: Equatable, Sendable {
  /// L ids: start token, words, end token, padding.
  public let ids: [Int32]
  /// L numbers: 1 where `ids` holds a token, 0 where it holds padding.
  public let mask: [Int32]
  /// Tokens before they were cut; more than L means that the prompt's end is ignored.
  public let count: Int
  /// False when the prompt has characters, and no word that the model knows.
  public let isKnown: Bool
}

/// Makes a fixed number of token ids of a prompt.
public protocol Tokenizer: Sendable {
  /// L, the length of every encoded prompt.
  var maxTokens: Int { get }

  /// The prompt in exactly L tokens; throws when it is not text that every language reads alike: NUL, or over 1,000,000
  /// characters.
  func encode(_ prompt: String) throws -> Tokens
}

/// One file's tokenizer.
protocol SingleTokenizer: Tokenizer {
  /// The id that takes the last place of a prompt that is cut.
  var end: Int32 { get }
  /// The id that fills the rest.
  var padding: Int32 { get }
  /// The id of words that the vocabulary lacks; nil for CLIP's, which lacks none.
  var unknown: Int32? { get }

  /// All ids of a prompt given as code points, start and end included.
  func ids(of prompt: [UInt32]) -> [Int32]
}

extension SingleTokenizer {
  var unknown: Int32? { nil }

  func encode(_ prompt: String) throws -> Tokens {
    let points = try Self.checked(prompt)
    let ids = ids(of: points)
    let isKnown =
      ids.dropFirst().dropLast().contains { $0 != unknown } || points.allSatisfy(Characters.spaces.contains)
    return framed(ids, isKnown: isKnown)
  }

  /// All ids of a text, without start and end token.
  func words(_ text: [UInt32]) -> [Int32] { Array(ids(of: text).dropFirst().dropLast()) }

  /// At most `maxTokens` - 2 ids between start and end token, padded.
  func window(_ words: [Int32]) -> Tokens {
    let ends = ids(of: [])
    return framed([ends[0]] + words + [ends[1]], isKnown: true)
  }

  private func framed(_ all: [Int32], isKnown: Bool) -> Tokens {
    var ids = all
    let count = ids.count
    if count > maxTokens {
      ids.removeLast(count - maxTokens)
      ids[maxTokens - 1] = end
    }
    let rest = maxTokens - ids.count
    let mask = [Int32](repeating: 1, count: ids.count) + [Int32](repeating: 0, count: rest)
    return Tokens(ids: ids + [Int32](repeating: padding, count: rest), mask: mask, count: count, isKnown: isKnown)
  }

  private static func checked(_ prompt: String) throws -> [UInt32] {
    let points = prompt.unicodeScalars.map(\.value)
    try require(
      points.count <= 1_000_000,
      "expected a prompt of at most 1,000,000 characters, got \(points.count): shorten it")
    if let place = points.firstIndex(of: 0) {
      throw DiffusionError("expected a prompt without NUL bytes, got one at character \(place): remove it")
    }
    return points
  }
}

/// The tokenizers of SDXL's two text encoders, which read the same prompt.
struct TokenizerPair: Tokenizer {
  let first: any Tokenizer
  let second: any Tokenizer

  var maxTokens: Int { first.maxTokens }

  func encode(_ prompt: String) throws -> Tokens {
    let both = (try first.encode(prompt), try second.encode(prompt))
    return Tokens(
      ids: both.0.ids + both.1.ids, mask: both.0.mask + both.1.mask, count: max(both.0.count, both.1.count),
      isKnown: both.0.isKnown)
  }
}

/// Opens the texts of the files of a tokenizer, each with its place, which the error names.
///
/// Throws for a kind that is not known here or a malformed file.
func openTokenizer(_ spec: TokenizerSpec, _ files: [(text: [UInt8], place: String)]) throws -> any Tokenizer {
  guard spec.kind == TokenizerSpec.pair else {
    return try openTokenizer(spec, text: files[0].text, in: files[0].place)
  }
  let clip = TokenizerSpec(kind: "clip-bpe", maxTokens: spec.maxTokens, files: spec.files)
  let both = try files.map { try openTokenizer(clip, text: $0.text, in: $0.place) }
  return TokenizerPair(first: both[0], second: both[1])
}

/// Opens the text of a `tokenizer.json` of the kind that the manifest names; `place` names the file in the error.
///
/// Throws for another kind or a malformed file.
func openTokenizer(_ spec: TokenizerSpec, text: [UInt8], in place: String) throws -> any Tokenizer {
  let (least, greatest): (Int64, Int64) = (3, 1 << 20)
  try require(
    (least...greatest).contains(spec.maxTokens),
    "manifest.json: tokenizer: expected max_tokens of at least 3 (start, a word, end), got \(spec.maxTokens); "
      + "export the bundle again")
  let kinds = ["wordpiece": WordPieceTokenizer.init, "clip-bpe": ClipTokenizer.init] as [String: OpenTokenizer]
  guard let open = kinds[spec.kind] else {
    throw DiffusionError(
      "manifest.json: expected a tokenizer of kind wordpiece, clip-bpe or clip-bpe-pair, got \(spec.kind.quoted); "
        + "update this program")
  }
  do {
    return try open(TokenizerDefinition(try JSON.parse(text, in: place)), Int(spec.maxTokens))
  } catch TokenizerDefinition.Missing.field {
    throw DiffusionError("\(place): expected a \(spec.kind) tokenizer, got another; export the bundle again")
  }
}

private typealias OpenTokenizer = (TokenizerDefinition, Int) throws -> any Tokenizer

/// A part of a `tokenizer.json`: what is looked for has to be there.
struct TokenizerDefinition {
  /// Why a part cannot be read.
  enum Missing: Error {
    /// It is not there, or of another type.
    case field
  }

  let value: JSON

  init(_ value: JSON) {
    self.value = value
  }

  private func found<Value>(_ value: Value?) throws -> Value {
    guard let value else { throw Missing.field }
    return value
  }

  func part(_ name: String) throws -> TokenizerDefinition { TokenizerDefinition(try found(value[name])) }
  func part(_ index: Int) throws -> TokenizerDefinition { TokenizerDefinition(try found(value[index])) }
  func text(_ name: String) throws -> String { try found(value[name]?.text) }
  func flag(_ name: String) throws -> Bool { try found(value[name]?.flag) }
  func list(_ name: String) throws -> [JSON] { try found(value[name]?.list) }

  func id(_ name: String) throws -> Int32 { try Self.id(try found(value[name])) }

  /// Ids by token.
  func vocabulary(_ name: String) throws -> [ExactText: Int32] {
    var ids: [ExactText: Int32] = [:]
    for member in try found(value[name]?.members) { ids[ExactText(member.name)] = try Self.id(member.value) }
    return ids
  }

  static func id(_ value: JSON) throws -> Int32 {
    guard let number = value.whole, let id = Int32(exactly: number) else { throw Missing.field }
    return id
  }

  /// Throws unless the condition holds.
  static func expect(_ condition: Bool, _ expected: String) throws {
    try require(condition, "tokenizer.json: expected \(expected), got another; export the bundle again")
  }
}

/// The code points as text.
func text(of points: some Sequence<UInt32>) -> String {
  var text = String.UnicodeScalarView()
  for point in points { text.append(Unicode.Scalar(point)!) }
  return String(text)
}
