import type { Definition } from "./definition.js";

const NONE = -1;
const MAX_ID = 2 ** 26; // two of them fit in a double

interface Merge {
  readonly rank: number;
  readonly id: number;
}

/** A merge that may be made: lowest rank first, then leftmost. */
interface Candidate {
  readonly merge: Merge;
  readonly place: number;
}

/** The character of each byte: printable bytes are themselves, the others take the code points from 256 on. */
const SYMBOLS = byteSymbols();

function byteSymbols(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
}

const key = (left: number, right: number): number => left * MAX_ID + right;

/** Byte-pair encoding of one word: its symbols are merged, the pair of the lowest rank first. */
export class BytePairs {
  private readonly vocabulary: Map<string, number>;
  private readonly merges = new Map<number, Merge>();
  private readonly wordEnd: string;
  private readonly unknown: number | undefined;

  constructor(model: Definition) {
    this.vocabulary = model.field("vocab").ids();
    this.wordEnd = model.field("end_of_word_suffix").text;
    const unknown = model.field("unk_token");
    this.unknown = unknown.isNull ? undefined : this.vocabulary.get(unknown.text);
    for (const id of this.vocabulary.values()) model.expect(id < MAX_ID, "fewer than 2^26 ids");
    model.field("merges").items.forEach((entry, rank) => this.addMerge(entry, rank));
  }

  private addMerge(entry: Definition, rank: number): void {
    const [left, right] = pairOf(entry);
    const [first, second, whole] = [left, right, left + right].map((symbol) => this.vocabulary.get(symbol));
    entry.expect(first !== undefined && second !== undefined && whole !== undefined, "merges of the vocabulary's symbols");
    this.merges.set(key(first!, second!), { rank, id: whole! });
  }

  /** The ids of a word. */
  encode(word: string): number[] {
    return new Chain(this.symbols(word), this.merges).merged();
  }

  /** A symbol for each byte of a word in UTF-8, the last one marked as the word's end. */
  private symbols(word: string): number[] {
    const bytes = new TextEncoder().encode(word);
    const ids: number[] = [];
    bytes.forEach((byte, place) => {
      const symbol = SYMBOLS[byte]! + (place === bytes.length - 1 ? this.wordEnd : "");
      const id = this.vocabulary.get(symbol) ?? this.unknown;
      if (id !== undefined) ids.push(id);
    });
    return ids;
  }
}

/** A merge as it is stored: a list of two symbols, or both in one text. */
function pairOf(entry: Definition): [string, string] {
  let parts = entry.textsOrNull;
  if (parts === null) {
    const space = entry.text.indexOf(" ");
    parts = space < 0 ? [entry.text] : [entry.text.slice(0, space), entry.text.slice(space + 1)];
  }
  entry.expect(parts.length === 2, "merges of two symbols");
  return [parts[0]!, parts[1]!];
}

/** The symbols of a word while they are merged: `ids` by place, NONE once a symbol is part of another. */
class Chain {
  private readonly previous: number[];
  private readonly next: number[];
  private readonly queue = new Queue();

  constructor(
    private readonly ids: number[],
    private readonly merges: ReadonlyMap<number, Merge>,
  ) {
    this.previous = ids.map((_, place) => place - 1);
    this.next = ids.map((_, place) => (place === ids.length - 1 ? NONE : place + 1));
  }

  merged(): number[] {
    this.ids.forEach((_, place) => this.consider(place));
    for (let best = this.queue.take(); best !== undefined; best = this.queue.take()) {
      if (this.mergeAt(best.place)?.id === best.merge.id) this.join(best.place, best.merge.id);
    }
    return this.ids.filter((id) => id !== NONE);
  }

  private mergeAt(place: number): Merge | undefined {
    if (place === NONE || this.ids[place] === NONE || this.next[place] === NONE) return undefined;
    return this.merges.get(key(this.ids[place]!, this.ids[this.next[place]!]!));
  }

  private consider(place: number): void {
    const merge = this.mergeAt(place);
    if (merge !== undefined) this.queue.add({ merge, place });
  }

  private join(place: number, id: number): void {
    const right = this.next[place]!;
    const after = this.next[right]!;
    this.ids[place] = id;
    this.ids[right] = NONE;
    this.next[place] = after;
    if (after !== NONE) this.previous[after] = place;
    this.consider(this.previous[place]!);
    this.consider(place);
  }
}

/** A binary heap of candidates. */
class Queue {
  private readonly heap: Candidate[] = [];

  add(candidate: Candidate): void {
    let place = this.heap.push(candidate) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(candidate, this.heap[parent]!)) break;
      this.heap[place] = this.heap[parent]!;
      place = parent;
    }
    this.heap[place] = candidate;
  }

  take(): Candidate | undefined {
    const [first] = this.heap;
    const last = this.heap.pop();
    if (first === undefined || last === undefined || this.heap.length === 0) return first;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.heap.length) break;
      if (child + 1 < this.heap.length && isBefore(this.heap[child + 1]!, this.heap[child]!)) child++;
      if (!isBefore(this.heap[child]!, last)) break;
      this.heap[place] = this.heap[child]!;
      place = child;
    }
    this.heap[place] = last;
    return first;
  }
}

function isBefore(one: Candidate, other: Candidate): boolean {
  return one.merge.rank !== other.merge.rank ? one.merge.rank < other.merge.rank : one.place < other.place;
}
