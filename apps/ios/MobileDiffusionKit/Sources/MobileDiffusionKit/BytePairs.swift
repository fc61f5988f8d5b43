/// Byte-pair encoding of one word: its symbols are merged, the pair of the lowest rank first.
struct BytePairs: Sendable {
  private struct Merge {
    let rank, id: Int32
  }

  /// Two symbols by their ids.
  private struct Pair: Hashable {
    let left, right: Int32
  }

  private let symbols: [Int32?]
  private let lastSymbols: [Int32?]
  private let merges: [Pair: Merge]

  /// Reads `model` of a tokenizer.json; throws when a merge is of symbols that the vocabulary does not have.
  init(_ model: TokenizerDefinition) throws {
    let vocabulary = try model.vocabulary("vocab")
    let wordEnd = try model.text("end_of_word_suffix")
    let unknown = try model.part("unk_token").value.text.flatMap { vocabulary[ExactText($0)] }
    symbols = Self.byteSymbols.map { vocabulary[ExactText($0)] ?? unknown }
    lastSymbols = Self.byteSymbols.map { vocabulary[ExactText($0 + wordEnd)] ?? unknown }
    var merges: [Pair: Merge] = [:]
    for (rank, entry) in try model.list("merges").enumerated() {
      let (left, right) = try Self.pair(entry)
      guard let first = vocabulary[ExactText(left)], let second = vocabulary[ExactText(right)],
        let whole = vocabulary[ExactText(left + right)]
      else {
        throw DiffusionError(
          "tokenizer.json: expected merges of the vocabulary's symbols, got another; export the bundle again")
      }
      merges[Pair(left: first, right: second)] = Merge(rank: Int32(rank), id: whole)
    }
    self.merges = merges
  }

  /// The character of each byte: printable bytes are themselves, the others take the code points from 256 on.
  private static let byteSymbols: [String] = {
    var next: UInt32 = 255
    return (0..<256).map { (byte: UInt32) in
      let isPrintable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
      if !isPrintable { next += 1 }
      return text(of: [isPrintable ? byte : next])
    }
  }()

  /// A merge as it is stored: a list of two symbols, or both in one text.
  private static func pair(_ entry: JSON) throws -> (String, String) {
    if let left = entry[0]?.text, let right = entry[1]?.text { return (left, right) }
    guard let text = entry.text else { throw TokenizerDefinition.Missing.field }
    let parts = text.unicodeScalars.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
    return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
  }

  /// The ids of a word.
  func encode(_ word: some Sequence<UInt32>) -> [Int32] {
    let bytes = Array(text(of: word).utf8)
    var chain = SymbolChain(
      bytes.enumerated().compactMap { place, byte in
        (place + 1 == bytes.count ? lastSymbols : symbols)[Int(byte)]
      })
    var queue = Heap<Candidate>()
    for place in chain.symbols.indices { consider(place, chain, &queue) }
    while let best = queue.removeLeast() {
      // One of the two may have been merged meanwhile.
      guard let pair = pair(at: best.place, chain), merges[pair]?.id == best.id else { continue }
      chain.merge(at: best.place, into: best.id)
      consider(chain.symbols[best.place].previous, chain, &queue)
      consider(best.place, chain, &queue)
    }
    return chain.symbols.compactMap(\.id)
  }

  private func pair(at place: Int, _ chain: SymbolChain) -> Pair? {
    guard let left = chain.symbols[place].id, let next = chain.symbols[place].next,
      let right = chain.symbols[next].id
    else { return nil }
    return Pair(left: left, right: right)
  }

  private func consider(_ place: Int?, _ chain: SymbolChain, _ queue: inout Heap<Candidate>) {
    guard let place, let pair = pair(at: place, chain), let merge = merges[pair] else { return }
    queue.insert(Candidate(rank: merge.rank, place: place, id: merge.id))
  }
}

/// A merge that may be made: lowest rank first, then leftmost.
private struct Candidate: Comparable {
  let rank: Int32
  let place: Int
  let id: Int32

  static func < (one: Candidate, other: Candidate) -> Bool {
    (one.rank, one.place) < (other.rank, other.place)
  }
}

/// The symbols of a word that is being merged; each knows its neighbours.
private struct SymbolChain {
  struct Symbol {
    /// nil once it is part of another.
    var id: Int32?
    var previous, next: Int?
  }

  private(set) var symbols: [Symbol]

  init(_ ids: [Int32]) {
    symbols = ids.indices.map { place in
      Symbol(
        id: ids[place], previous: place > 0 ? place - 1 : nil, next: place + 1 < ids.count ? place + 1 : nil)
    }
  }

  /// Makes one symbol of that at `place` and the next.
  mutating func merge(at place: Int, into id: Int32) {
    guard let right = symbols[place].next else { return }
    symbols[place].id = id
    symbols[place].next = symbols[right].next
    symbols[right].id = nil
    if let next = symbols[place].next { symbols[next].previous = place }
  }
}
