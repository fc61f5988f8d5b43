import { BundleError, PromptError } from "./errors.js";
import { codePoints, isWellFormed } from "./text.js";
import { isSpace } from "./unicode.js";

/** Characters of the longest prompt. */
export const MAX_CHARACTERS = 1_000_000;

/** A prompt in exactly L tokens; of SDXL's two tokenizers, the second's L numbers follow the first's. */
export interface Tokens {
  /** Start token, words, end token, padding. */
  readonly ids: Int32Array;
  /** 1 where `ids` holds a token, 0 where it holds padding. */
  readonly mask: Int32Array;
  /** Tokens before they were cut: more than L means that the prompt's end is ignored. */
  readonly count: number;
  /** False when the prompt has characters, and no word that the model knows. */
  readonly known: boolean;
}

/** The tokenizer of one text encoder, by pieces of a prompt. */
export interface WordTokenizer {
  readonly maxTokens: number;

  /** All ids of a text, without start and end token. */
  words(text: string): number[];

  /** At most `maxTokens` - 2 ids between start and end token, padded. */
  window(ids: readonly number[]): Tokens;
}

/** Makes tokens of prompts; ids are those of the checkpoint that the tokenizer comes from. */
export interface Tokenizer {
  /** L, the length of every encoded prompt. */
  readonly maxTokens: number;

  /** The tokenizer of each text encoder. */
  readonly parts: readonly WordTokenizer[];

  /**
   * The prompt in exactly `maxTokens` tokens; a longer one is cut, its end token kept.
   *
   * Throws `PromptError` for NUL, half of a surrogate pair, or over MAX_CHARACTERS characters.
   */
  encode(prompt: string): Tokens;
}

/** The tokenizers of SDXL's two text encoders, which read the same prompt. */
export class TokenizerPair implements Tokenizer {
  constructor(
    private readonly first: Tokenizer,
    private readonly second: Tokenizer,
  ) {}

  get parts(): readonly WordTokenizer[] {
    return [...this.first.parts, ...this.second.parts];
  }

  get maxTokens(): number {
    return this.first.maxTokens;
  }

  encode(prompt: string): Tokens {
    const [first, second] = [this.first.encode(prompt), this.second.encode(prompt)];
    return {
      ids: Int32Array.of(...first.ids, ...second.ids),
      mask: Int32Array.of(...first.mask, ...second.mask),
      count: Math.max(first.count, second.count),
      known: first.known,
    };
  }
}

/** One file's tokenizer. */
export abstract class SingleTokenizer implements Tokenizer, WordTokenizer {
  protected abstract readonly end: number;
  protected abstract readonly padding: number;

  /** The token of words that the vocabulary lacks; null for CLIP's, which lacks none. */
  protected readonly unknown: number | null = null;

  constructor(
    /** L, the length of every encoded prompt. */
    readonly maxTokens: number,
  ) {}

  /** All ids of a prompt given as code points, start and end included. */
  protected abstract ids(prompt: readonly number[]): number[];

  get parts(): readonly WordTokenizer[] {
    return [this];
  }

  words(text: string): number[] {
    return this.ids(codePoints(text)).slice(1, -1);
  }

  window(ids: readonly number[]): Tokens {
    const [start, end] = this.ids([]);
    return { ...this.framed([start!, ...ids, end!]), known: true };
  }

  encode(prompt: string): Tokens {
    const points = checkedPoints(prompt);
    const found = this.ids(points);
    const told = found.slice(1, -1).some((id) => id !== this.unknown);
    return { ...this.framed(found), known: told || points.every(isSpace) };
  }

  private framed(found: readonly number[]): Omit<Tokens, "known"> {
    const kept = found.slice(0, this.maxTokens);
    if (kept.length < found.length) kept[this.maxTokens - 1] = this.end;
    const ids = new Int32Array(this.maxTokens).fill(this.padding);
    ids.set(kept);
    const mask = new Int32Array(this.maxTokens).fill(1, 0, kept.length);
    return { ids, mask, count: found.length };
  }
}

/** The code points of a prompt; throws `PromptError` for text that not every language reads alike. */
function checkedPoints(prompt: string): number[] {
  if (!isWellFormed(prompt)) {
    throw new PromptError(
      "expected a prompt of valid Unicode, got half of a surrogate pair: remove it or encode the prompt as UTF-8",
    );
  }
  const points = codePoints(prompt);
  if (points.length > MAX_CHARACTERS) {
    throw new PromptError(`expected a prompt of at most 1,000,000 characters, got ${points.length}: shorten it`);
  }
  const nul = points.indexOf(0);
  if (nul >= 0) {
    throw new PromptError(`expected a prompt without NUL bytes, got one at character ${nul}: remove it`);
  }
  return points;
}

/** Refuses a length of prompts without room for a start, a word and an end. */
export function checkLength(maxTokens: number): void {
  if (maxTokens >= 3 && maxTokens <= 2 ** 20) return;
  throw new BundleError(
    "manifest.json: tokenizer: expected max_tokens of at least 3 (start, a word, end), " +
      `got ${maxTokens}; export the bundle again`,
  );
}
