import type { Definition } from "./definition.js";
import { codePoints, quote } from "./text.js";
import { isSpace } from "./unicode.js";

/** A stretch of a prompt: an added token's `id`, or normalized text as code points. */
export interface Stretch {
  readonly id: number | null;
  readonly text: readonly number[];
}

interface Token {
  readonly content: readonly number[];
  readonly id: number;
  readonly stripLeft: boolean;
  readonly stripRight: boolean;
}

type Normalize = (text: readonly number[]) => number[];

/** Whether `text` holds `part` at a place. */
export function startsWith(text: readonly number[], place: number, part: readonly number[]): boolean {
  if (place + part.length > text.length) return false;
  return part.every((point, index) => text[place + index] === point);
}

/** Tokens that are looked for before a prompt is split into words: special ones, and those of textual inversion. */
export class AddedTokens {
  private readonly typed: Token[] = [];
  private readonly normalized: Token[] = [];

  /** Ids by content. */
  readonly ids = new Map<string, number>();

  constructor(
    list: Definition,
    private readonly normalize: Normalize,
  ) {
    for (const entry of list.items) this.add(entry);
  }

  private add(entry: Definition): void {
    const content = entry.field("content").text;
    if (entry.field("single_word").flag) {
      entry.refuse(
        `expected added tokens that may stand anywhere, got ${quote(content)} as a single word; it is not supported`,
      );
    }
    const inNormalized = entry.field("normalized").flag;
    const points = inNormalized ? this.normalize(codePoints(content)) : codePoints(content);
    const [stripLeft, stripRight] = [entry.field("lstrip").flag, entry.field("rstrip").flag];
    const token = { content: points, id: entry.field("id").whole, stripLeft, stripRight };
    if (points.length > 0) (inNormalized ? this.normalized : this.typed).push(token);
    this.ids.set(content, token.id);
  }

  /** The prompt in order: tokens that are found as typed, then tokens that are found in normalized text. */
  split(prompt: readonly number[]): Stretch[] {
    return find(this.typed, prompt).flatMap((each) =>
      each.id !== null ? [each] : find(this.normalized, this.normalize(each.text)),
    );
  }
}

function find(tokens: readonly Token[], text: readonly number[]): Stretch[] {
  const found: Stretch[] = [];
  let done = 0;
  let place = 0;
  while (place < text.length) {
    const token = longestAt(tokens, text, place);
    if (token === null) {
      place++;
      continue;
    }
    let start = place;
    let stop = place + token.content.length;
    while (token.stripLeft && start > done && isSpace(text[start - 1]!)) start--;
    while (token.stripRight && stop < text.length && isSpace(text[stop]!)) stop++;
    if (start > done) found.push({ id: null, text: text.slice(done, start) });
    found.push({ id: token.id, text: [] });
    done = place = stop;
  }
  if (done < text.length) found.push({ id: null, text: done === 0 ? text : text.slice(done) });
  return found;
}

/** The longest token at a place; the first of several. */
function longestAt(tokens: readonly Token[], text: readonly number[], place: number): Token | null {
  let best: Token | null = null;
  for (const token of tokens) {
    if (best !== null && token.content.length <= best.content.length) continue;
    if (startsWith(text, place, token.content)) best = token;
  }
  return best;
}
