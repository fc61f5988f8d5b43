// A prompt with weights, cut into pieces of one weight each; prompt-a1111.ts and prompt-compel.ts read them.

import { PromptError } from "./errors.js";

/** How a prompt writes weights: not at all, or as AUTOMATIC1111's web UI or the library Compel reads them. */
export const SYNTAXES = ["plain", "a1111", "compel"] as const;
export type PromptSyntax = (typeof SYNTAXES)[number];

const MAX_WEIGHT = 100;
const MAX_CHARACTERS = 10_000;

/** Text of one weight. */
export interface Piece {
  readonly text: string;
  readonly weight: number;
  /** Whether it ends a window instead of being text. */
  readonly isBreak?: boolean;
}

/** Throws `PromptError` for a prompt that is too long to be read with weights. */
export function checkShort(prompt: string): void {
  const count = [...prompt].length;
  if (count <= MAX_CHARACTERS) return;
  throw new PromptError(`expected a prompt with weights of at most 10,000 characters, got ${count}: shorten it`);
}

/** Neighbours of the same weight as one piece; throws `PromptError` for a weight that is too large. */
export function fused(pieces: readonly Piece[], between: string): Piece[] {
  const result: Piece[] = [];
  for (const piece of pieces) {
    if (!piece.isBreak && !(Math.abs(piece.weight) <= MAX_WEIGHT)) {
      throw new PromptError(`prompt: expected weights from -100 to 100, got ${piece.weight}; lower it`);
    }
    const last = result.at(-1);
    if (!last || last.isBreak || piece.isBreak || last.weight !== piece.weight) result.push(piece);
    else result[result.length - 1] = { text: last.text + between + piece.text, weight: last.weight };
  }
  return result.length > 0 ? result : [{ text: "", weight: 1 }];
}
