// Weights as AUTOMATIC1111's web UI writes them: (word), [word], (word:1.3), \( and BREAK.

import { PromptError } from "./errors.js";
import { type Piece, checkShort, fused } from "./prompt-pieces.js";
import { quote } from "./text.js";

const PART = /\\[()[\]\\]?|[()[\]]|:[+-]?[.0-9]+\)|[^\\()[\]:]+|:/gu;
const NUMBER = /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$/;
const BREAKS = /(?<![\p{L}\p{N}_])BREAK(?![\p{L}\p{N}_])/gu;
const BREAK = "BREAK";
const BREAK_WEIGHT = -1;

interface Part {
  text: string;
  weight: number;
}

/** The pieces of a prompt; an open bracket reaches to the end, a closing one without an open one is text. */
export function parseA1111(prompt: string): Piece[] {
  checkShort(prompt);
  const parts: Part[] = [];
  const [round, square]: [number[], number[]] = [[], []];
  const multiply = (start: number, factor: number): void => {
    for (const each of parts.slice(start)) each.weight *= factor;
  };
  for (const [part] of prompt.matchAll(PART)) {
    if (part.startsWith("\\")) parts.push({ text: part.slice(1), weight: 1 });
    else if (part === "(") round.push(parts.length);
    else if (part === "[") square.push(parts.length);
    else if (part.startsWith(":") && part.length > 1 && round.length > 0) multiply(round.pop()!, numberOf(part.slice(1, -1)));
    else if (part === ")" && round.length > 0) multiply(round.pop()!, 1.1);
    else if (part === "]" && square.length > 0) multiply(square.pop()!, 1 / 1.1);
    else parts.push(...textOf(part));
  }
  for (const start of round) multiply(start, 1.1);
  for (const start of square) multiply(start, 1 / 1.1);
  return fused(parts.map(pieceOf), "");
}

/** Text without brackets, and a break between its parts. */
function textOf(part: string): Part[] {
  return part.split(BREAKS).flatMap((text, place) => {
    const own = { text, weight: 1 };
    return place === 0 ? [own] : [{ text: BREAK, weight: BREAK_WEIGHT }, own];
  });
}

/** A break inside brackets that change its weight is a word, as in the original. */
function pieceOf({ text, weight }: Part): Piece {
  return { text, weight, isBreak: text === BREAK && weight === BREAK_WEIGHT };
}

function numberOf(text: string): number {
  if (NUMBER.test(text)) return Number(text);
  throw new PromptError(`prompt: expected a weight such as 1.3 after a colon, got ${quote(text)}`);
}
