// Characters and texts, as arrays of code points, as the exporter's tokenizer library sees them.
//
// JavaScript's own classes are not asked: which version of Unicode they have depends on the browser.

import { composeHangul, decomposeHangul } from "./hangul.js";
import * as tables from "./unicode-tables.js";

const LAST_POINT = 0x110000;

/** The rows of a table: numbers to the base 36, split by commas; rows are split by white space. */
function rowsOf(table: string): number[][] {
  return table.split(/\s+/).filter((row) => row !== "").map((row) => row.split(",").map((each) => parseInt(each, 36)));
}

/** Whether a code point is in the ranges of a table: rows of the gap since the range before, and a length. */
function setOf(table: string): (point: number) => boolean {
  const bits = new Uint8Array(LAST_POINT / 8);
  let point = 0;
  for (const [gap = 0, length = 0] of rowsOf(table)) {
    point += gap;
    for (const end = point + length; point < end; point++) bits[point >> 3]! |= 1 << (point & 7);
  }
  return (one) => ((bits[one >> 3] ?? 0) & (1 << (one & 7))) !== 0;
}

function mappingOf(table: string): Map<number, number[]> {
  const found = new Map<number, number[]>();
  let point = 0;
  for (const [gap = 0, ...parts] of rowsOf(table)) {
    point += gap;
    found.set(point, parts);
  }
  return found;
}

function classesOf(table: string): Map<number, number> {
  const found = new Map<number, number>();
  let point = 0;
  for (const [gap = 0, length = 0, number = 0] of rowsOf(table)) {
    point += gap;
    for (const end = point + length; point < end; point++) found.set(point, number);
  }
  return found;
}

const pair = (first: number, second: number): number => first * LAST_POINT + second;

export const isLetter = setOf(tables.letters);
export const isNumber = setOf(tables.numbers);
export const isSpace = setOf(tables.spaces);
export const isControl = setOf(tables.controls);
export const isHan = setOf(tables.han);
export const isMark = setOf(tables.marks);
export const isPunctuation = setOf(tables.punctuation);
const lowerCases = mappingOf(tables.lowerCase);
const decompositions = mappingOf(tables.decompositions);
const compositions = new Map(
  rowsOf(tables.compositions).map(([first = 0, second = 0, whole = 0]) => [pair(first, second), whole]),
);
const classes = classesOf(tables.combiningClasses);

const classOf = (point: number): number => classes.get(point) ?? 0;

function mapped(text: readonly number[], partsOf: (point: number) => readonly number[] | null | undefined): number[] {
  const result: number[] = [];
  for (const point of text) {
    const parts = partsOf(point);
    if (parts) for (const part of parts) result.push(part);
    else result.push(point);
  }
  return result;
}

export function lowerCase(text: readonly number[]): number[] {
  return mapped(text, (point) => lowerCases.get(point));
}

/** Normal form D: decomposed, marks in order. */
export function decompose(text: readonly number[]): number[] {
  return inOrder(mapped(text, (point) => decomposeHangul(point) ?? decompositions.get(point)));
}

/** Normal form C: decomposed, then composed. */
export function compose(text: readonly number[]): number[] {
  const result: number[] = [];
  let starter = -1;
  let last = 0; // class of the last mark that stayed behind the starter
  for (const point of decompose(text)) {
    const number = classOf(point);
    const free = starter >= 0 && (result.length === starter + 1 || last < number);
    const composed = free ? composedOf(result[starter] ?? 0, point) : null;
    if (composed !== null) {
      result[starter] = composed;
      continue;
    }
    if (number === 0) starter = result.length;
    last = number;
    result.push(point);
  }
  return result;
}

function composedOf(first: number, second: number): number | null {
  return composeHangul(first, second) ?? compositions.get(pair(first, second)) ?? null;
}

/** Marks between two characters of class 0 in the order of their classes; marks of one class stay in theirs. */
function inOrder(text: number[]): number[] {
  let start = 0;
  while (start < text.length) {
    let end = start;
    while (end < text.length && classOf(text[end]!) !== 0) end++;
    if (end - start > 1) {
      const sorted = text.slice(start, end).sort((one, other) => classOf(one) - classOf(other)); // stable
      for (const point of sorted) text[start++] = point;
    }
    start = Math.max(end, start + 1);
  }
  return text;
}
