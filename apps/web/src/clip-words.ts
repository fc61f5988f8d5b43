import { startsWith } from "./added-tokens.js";
import { codePoints } from "./text.js";
import { isLetter, isNumber, isSpace } from "./unicode.js";

const MARKERS = ["<|startoftext|>", "<|endoftext|>"].map(codePoints);
const CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map(codePoints);

/** Splits text as CLIP's regular expression does: contractions, letters, one number, or a run of the rest. */
export function* clipWords(text: readonly number[]): Generator<[start: number, end: number]> {
  let place = 0;
  while (place < text.length) {
    const cuts = cutsAt(text, place);
    for (let cut = 1; cut < cuts.length; cut++) yield [cuts[cut - 1]!, cuts[cut]!];
    place = Math.max(cuts[cuts.length - 1]!, place + 1);
  }
}

/** Where the words begin and end that stand at a place, one after the other; the place alone for none. */
function cutsAt(text: readonly number[], place: number): number[] {
  const marker = lengthAt(MARKERS, text, place);
  // The marker of a prompt's start or end, typed in other case, is three words: its signs and its letters.
  if (marker > 0) return [place, place + 2, place + marker - 2, place + marker];
  const length = wordAt(text, place);
  return length > 0 ? [place, place + length] : [place];
}

function wordAt(text: readonly number[], place: number): number {
  const contraction = lengthAt(CONTRACTIONS, text, place);
  if (contraction > 0) return contraction;
  const letters = runAt(text, place, isLetter);
  if (letters > 0) return letters;
  return isNumber(text[place]!) ? 1 : runAt(text, place, isOther);
}

const isOther = (point: number): boolean => !isLetter(point) && !isNumber(point) && !isSpace(point);

function runAt(text: readonly number[], place: number, belongs: (point: number) => boolean): number {
  let end = place;
  while (end < text.length && belongs(text[end]!)) end++;
  return end - place;
}

function lengthAt(literals: readonly (readonly number[])[], text: readonly number[], place: number): number {
  return literals.find((each) => startsWith(text, place, each))?.length ?? 0;
}
