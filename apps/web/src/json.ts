// Reads one JSON text (RFC 8259).
//
// As strict as the other languages' readers: no byte order mark, no NaN, no number beyond float64, no half of a
// surrogate pair, and no nesting that exhausts the stack. Numbers stay as they are written, because a size and a number
// with a fraction are different things.

import { BundleError } from "./errors.js";
import { isWellFormed } from "./text.js";

/** A number as it is written: what it holds is decided where it is read. */
export class JsonNumber {
  constructor(readonly text: string) {}

  /** Whether it is written without a fraction and an exponent. */
  get isWhole(): boolean {
    return !/[.eE]/.test(this.text);
  }

  /** A whole number of 64 bits, as far as a double holds it exactly enough; null for another. */
  get whole(): number | null {
    if (!this.isWhole) return null;
    const value = BigInt(this.text);
    return value >= -(2n ** 63n) && value < 2n ** 63n ? Number(value) : null;
  }
}

export type JsonObject = ReadonlyMap<string, Json>;
export type Json = null | boolean | string | JsonNumber | readonly Json[] | JsonObject;

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

export function isObject(value: Json | undefined): value is JsonObject {
  return value instanceof Map;
}

/** Compact JSON. */
export function writeJson(value: Json): string {
  if (value instanceof JsonNumber) return value.text;
  if (isList(value)) return `[${value.map(writeJson).join(",")}]`;
  if (isObject(value)) {
    return `{${[...value].map(([name, each]) => `${JSON.stringify(name)}:${writeJson(each)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** The JSON of a text; throws `BundleError` naming `where` when it is not JSON. */
export function readJson(text: string, where: string): Json {
  try {
    return new JsonReader(text).document();
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    throw new BundleError(`${where}: expected JSON, got something else; export the bundle again`);
  }
}

class NotJson extends Error {}

const MAX_DEPTH = 200;
const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORDS = new Map<string, boolean | null>([["true", true], ["false", false], ["null", null]]);

class JsonReader {
  private place = 0;

  constructor(private readonly text: string) {}

  document(): Json {
    const value = this.value(0);
    this.skipSpace();
    if (this.place < this.text.length) throw new NotJson();
    return value;
  }

  private value(depth: number): Json {
    if (depth > MAX_DEPTH) throw new NotJson();
    this.skipSpace();
    const next = this.text[this.place];
    if (next === "{") return this.fields(depth);
    if (next === "[") return this.items(depth);
    if (next === '"') return this.string();
    for (const [word, value] of WORDS) {
      if (!this.text.startsWith(word, this.place)) continue;
      this.place += word.length;
      return value;
    }
    return this.number();
  }

  private fields(depth: number): JsonObject {
    const fields = new Map<string, Json>();
    this.sequence("{", "}", () => {
      this.skipSpace();
      const name = this.string();
      this.skipSpace();
      this.expect(":");
      fields.set(name, this.value(depth + 1));
    });
    return fields;
  }

  private items(depth: number): readonly Json[] {
    const items: Json[] = [];
    this.sequence("[", "]", () => items.push(this.value(depth + 1)));
    return items;
  }

  private sequence(open: string, close: string, element: () => void): void {
    this.expect(open);
    this.skipSpace();
    if (this.text[this.place] !== close) {
      element();
      this.skipSpace();
      while (this.text[this.place] === ",") {
        this.place++;
        element();
        this.skipSpace();
      }
    }
    this.expect(close);
  }

  private string(): string {
    const written = this.match(STRING);
    const found = written.includes("\\") ? (JSON.parse(written) as string) : written.slice(1, -1);
    if (!isWellFormed(found)) throw new NotJson();
    return found;
  }

  private number(): JsonNumber {
    const written = this.match(NUMBER);
    if (!Number.isFinite(Number(written))) throw new NotJson();
    return new JsonNumber(written);
  }

  private match(pattern: RegExp): string {
    pattern.lastIndex = this.place;
    const found = pattern.exec(this.text);
    if (found === null || found[0] === "") throw new NotJson();
    this.place += found[0].length;
    return found[0];
  }

  private skipSpace(): void {
    SPACE.lastIndex = this.place;
    SPACE.exec(this.text);
    this.place = SPACE.lastIndex;
  }

  private expect(sign: string): void {
    if (this.text[this.place] !== sign) throw new NotJson();
    this.place++;
  }
}
