// Texts in errors, and texts as code points.

const SHOWN = 60;
const CONTROL = /[\p{Cc}\u2028\u2029]/gu;
const HALF_PAIR = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** A text as it may stand in an error: quoted, one line, cut. */
export function quote(text: string): string {
  const cut = text.length > SHOWN ? text.slice(0, SHOWN).replace(/[\ud800-\udbff]$/, "") + "..." : text;
  return `'${cut.replace(CONTROL, "?")}'`;
}

/** A number as it may stand in an error. */
export function plain(value: number): string {
  return String(value);
}

/** Whether every surrogate is one half of a pair. */
export function isWellFormed(text: string): boolean {
  return !HALF_PAIR.test(text);
}

/** The code points of a well-formed text. */
export function codePoints(text: string): number[] {
  const points: number[] = [];
  for (const one of text) points.push(one.codePointAt(0) ?? 0);
  return points;
}

/** Code points from `start` to `end` as a text. */
export function textOf(points: readonly number[], start = 0, end = points.length): string {
  let text = "";
  for (let place = start; place < end; place++) text += String.fromCodePoint(points[place] ?? 0);
  return text;
}

/** The text of bytes in UTF-8 without a byte order mark, or null when they are not. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
