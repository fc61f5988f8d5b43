// Divides the tokens of a prompt into windows, each of which the text encoder reads by itself.

import { parseA1111 } from "./prompt-a1111.js";
import { parseCompel } from "./prompt-compel.js";
import type { Piece, PromptSyntax } from "./prompt-pieces.js";
import type { Tokenizer, Tokens, WordTokenizer } from "./tokenizer.js";

/** Tokens behind the last comma of a full window, at most, that move to the next window. */
const BACKTRACK = 20;
/** The least weight that counts: at 0 the share of a version without a word would be infinite. */
const SMALLEST = 1e-5;

/** One window: its tokens, of SDXL the second tokenizer's behind the first's, and their weights. */
export interface PromptWindow {
  readonly tokens: Tokens;
  readonly weights: Float64Array;
}

/** A prompt, or Compel's without a word of a weight below 1, and its share in the mixture. */
export interface Version {
  readonly share: number;
  readonly windows: readonly PromptWindow[];
}

export interface Reading {
  readonly syntax: PromptSyntax;
  /** The whole prompt first. */
  readonly versions: readonly Version[];
  /** The empty prompt, if weights lead away from it. */
  readonly empty: Tokens | null;
  /** Whether the end of the prompt did not fit. */
  readonly cut: boolean;
}

/** Reads a prompt; throws `PromptError`. */
export function readPrompt(tokenizer: Tokenizer, prompt: string, syntax: PromptSyntax, count: number): Reading {
  const whole = tokenizer.encode(prompt); // which also checks the text
  if (syntax === "plain" && count === 1) {
    const windows = [{ tokens: whole, weights: new Float64Array(whole.ids.length).fill(1) }];
    return { syntax, versions: [{ share: 1, windows }], empty: null, cut: whole.count > tokenizer.maxTokens };
  }
  if (syntax === "compel") return readCompel(tokenizer, parseCompel(prompt), count);
  const pieces = syntax === "a1111" ? parseA1111(prompt) : [{ text: prompt, weight: 1 }];
  const { version, cut } = versionOf(tokenizer, pieces, count, 1);
  return { syntax, versions: [version], empty: null, cut };
}

function readCompel(tokenizer: Tokenizer, pieces: readonly Piece[], count: number): Reading {
  const { version, cut } = versionOf(tokenizer, pieces, count, 1);
  const versions = [version];
  pieces.forEach(({ text, weight }, place) => {
    if (weight >= 1 || text.trim() === "") return;
    const share = Math.tan(((1 - Math.max(weight, SMALLEST)) * Math.PI) / 2);
    versions.push(versionOf(tokenizer, pieces.filter((_, other) => other !== place), count, share).version);
  });
  const isWeighted = versions.some((each) => each.windows.some(({ weights }) => weights.some((weight) => weight !== 1)));
  return { syntax: "compel", versions, empty: isWeighted ? tokenizer.encode("") : null, cut };
}

function versionOf(
  tokenizer: Tokenizer,
  pieces: readonly Piece[],
  count: number,
  share: number,
): { version: Version; cut: boolean } {
  const parts = tokenizer.parts.map((part) => divide(part, pieces, count));
  const windows = Array.from({ length: count }, (_, place) => {
    const own = parts.map(({ part, windows }) => windowOf(part, windows[place]!));
    return {
      tokens: {
        ids: Int32Array.from(own.flatMap((each) => [...each.tokens.ids])),
        mask: Int32Array.from(own.flatMap((each) => [...each.tokens.mask])),
        count: Math.max(...own.map((each) => each.tokens.count)),
        known: true,
      },
      weights: Float64Array.from(own.flatMap((each) => [...each.weights])),
    };
  });
  return { version: { share, windows }, cut: parts.some((each) => each.cut) };
}

interface Weighted {
  readonly id: number;
  readonly weight: number;
}

function windowOf(part: WordTokenizer, tokens: readonly Weighted[]): PromptWindow {
  const weights = new Float64Array(part.maxTokens).fill(1);
  tokens.forEach((each, place) => (weights[place + 1] = each.weight));
  return { tokens: part.window(tokens.map((each) => each.id)), weights };
}

interface Divided {
  readonly part: WordTokenizer;
  readonly windows: readonly (readonly Weighted[])[];
  readonly cut: boolean;
}

/** Exactly `count` windows, as the web UI fills them: the last is cut, and empty ones follow a short prompt. */
function divide(part: WordTokenizer, pieces: readonly Piece[], count: number): Divided {
  const capacity = part.maxTokens - 2;
  const commas = part.words(",");
  const comma = commas.length === 1 ? commas[0] : null;
  const runs = pieces.map((each) => ({ ...each, ids: each.isBreak ? [] : part.words(each.text) }));
  const done: Weighted[][] = [];
  let [window, lastComma]: [Weighted[], number] = [[], -1];
  const divided = (cut: boolean): Divided => {
    const windows = [...done, window];
    while (windows.length < count) windows.push([]);
    return { part, windows, cut };
  };
  const close = (from = window.length): void => {
    done.push(window.slice(0, from));
    window = window.slice(from);
    lastComma = -1;
  };
  for (const [place, run] of runs.entries()) {
    if (run.isBreak) {
      if (done.length === count - 1) return divided(runs.slice(place).some((each) => each.ids.length > 0));
      close();
    }
    for (const id of run.ids) {
      if (window.length === capacity && done.length === count - 1) return divided(true);
      if (id === comma) lastComma = window.length;
      else if (window.length === capacity && lastComma >= 0 && window.length - lastComma <= BACKTRACK) close(lastComma + 1);
      if (window.length === capacity) close();
      window.push({ id, weight: run.weight });
    }
  }
  return divided(false);
}
