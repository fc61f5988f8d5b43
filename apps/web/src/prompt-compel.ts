// Weights as the library Compel writes them: word++, word--, (some words)1.3, nested brackets and quotes.

import { PromptError } from "./errors.js";
import { type Piece, checkShort, fused } from "./prompt-pieces.js";

const BASES: Readonly<Record<string, number>> = { "+": 1.1, "-": 0.9 };
const SPACE = " \t\n\r\v\f";
const SYNTAX = '(),."+-=';
const NUMBER = /[0-9]+(\.[0-9]*)?|\.[0-9]+/y;
const QUOTED = /"((?:\\"|[^"\n\r])*)"/y;
const REFUSED = [".attend(", ".swap(", ".blend(", ".and(", ".add(", "withLora(", "useLora("];
const DEPTH = 100;

/** What was read, and where it ends. */
interface Read {
  readonly pieces: readonly Piece[];
  readonly end: number;
}

const isSpace = (text: string, at: number): boolean => SPACE.includes(text[at]!);
const matchAt = (pattern: RegExp, text: string, at: number): RegExpExecArray | null => {
  pattern.lastIndex = at;
  return pattern.exec(text);
};

/** The pieces of a prompt; what does not parse, such as an unbalanced bracket, is text up to the next space. */
export function parseCompel(prompt: string): Piece[] {
  checkShort(prompt);
  const refused = REFUSED.find((each) => prompt.includes(each));
  if (refused !== undefined) {
    throw new PromptError(`prompt: expected weights alone of Compel's syntax, got "${refused}"; remove it`);
  }
  const text = prompt.replace(/,(\P{White_Space})/gu, ", $1");
  const pieces: Piece[] = [];
  for (let at = 0; at < text.length; ) {
    if (isSpace(text, at)) {
      at++;
      continue;
    }
    const found = partAt(text, at, 0) ?? freeWord(text, at);
    pieces.push(...found.pieces);
    at = found.end;
  }
  return fused(pieces, " ");
}

/** Brackets, quotes or a word: with an operator, or of the first two also without. */
function partAt(text: string, at: number, depth: number): Read | null {
  const group = brackets(text, at, depth) ?? quotes(text, at, depth);
  if (group !== null) return weighted(text, group, true) ?? group;
  const word = wordAt(text, at);
  return word && weighted(text, word, false);
}

/** The target with the weight of the operator that follows it at once; null without one. */
function weighted(text: string, target: Read, numbers: boolean): Read | null {
  const sign = text[target.end] ?? "";
  const base = BASES[sign];
  let [end, weight] = [target.end, 1];
  if (base !== undefined) {
    for (; text[end] === sign; end++) weight *= base;
  } else {
    const number = numbers ? matchAt(NUMBER, text, end) : null;
    if (number === null) return null;
    weight = Number(number[0]);
    end += number[0].length;
  }
  return { pieces: target.pieces.map((each) => ({ text: each.text, weight: each.weight * weight })), end };
}

function brackets(text: string, at: number, depth: number): Read | null {
  if (text[at] !== "(") return null;
  const inside = insideOf(text, at + 1, depth + 1);
  return text[inside.end] === ")" ? { pieces: inside.pieces, end: inside.end + 1 } : null;
}

function quotes(text: string, at: number, depth: number): Read | null {
  const found = matchAt(QUOTED, text, at);
  if (found === null) return null;
  const inside = insideOf(found[1]!, 0, depth + 1);
  if (inside.end !== found[1]!.length) return null;
  return { pieces: inside.pieces.length > 0 ? inside.pieces : [{ text: "", weight: 1 }], end: at + found[0].length };
}

/** As much as can be read in brackets or quotes; it ends in front of what cannot. */
function insideOf(text: string, start: number, depth: number): Read {
  if (depth > DEPTH) {
    throw new PromptError(`prompt: expected at most ${DEPTH} brackets inside each other, got more; remove some`);
  }
  const pieces: Piece[] = [];
  let at = start;
  while (at < text.length) {
    if (isSpace(text, at)) {
      at++;
      continue;
    }
    const sign: Read | null = ",.".includes(text[at]!) ? { pieces: [{ text: text[at]!, weight: 1 }], end: at + 1 } : null;
    const found: Read | null = partAt(text, at, depth) ?? wordAt(text, at) ?? sign;
    if (found === null) break;
    pieces.push(...found.pieces);
    at = found.end;
  }
  return { pieces, end: at };
}

/** A word without syntax, which a backslash, or of + and - a character behind it, makes part of a word. */
function wordAt(text: string, at: number): Read | null {
  let end = at;
  while (end < text.length) {
    const [one, following] = [text[end]!, text[end + 1] ?? ""];
    if (one === "\\" && following !== "" && SYNTAX.includes(following)) end += 2;
    else if (one in BASES && following !== "" && !(SPACE + SYNTAX).includes(following)) end++;
    else if (!(SPACE + SYNTAX).includes(one)) end++;
    else break;
  }
  return end > at ? { pieces: [literal(text.slice(at, end))], end } : null;
}

function freeWord(text: string, at: number): Read {
  let end = at;
  while (end < text.length && !isSpace(text, end)) end++;
  return { pieces: [literal(text.slice(at, end))], end };
}

function literal(text: string): Piece {
  return { text: text.replace(/\\+([()"])/g, "$1"), weight: 1 };
}
