import { BundleError } from "./errors.js";
import { FIX, wholeOf } from "./fields.js";
import { type Json, isList, isObject, readJson } from "./json.js";

const MAX_ID = 2 ** 31 - 1;

/**
 * A place in a `tokenizer.json`, which has many fields that nothing here needs.
 *
 * What is asked for and is not there, or is of another type, throws `BundleError`: it is another tokenizer.
 */
export class Definition {
  private constructor(
    private readonly value: Json | undefined,
    private readonly where: string,
    private readonly kind: string,
  ) {}

  static read(text: string, where: string, kind: string): Definition {
    return new Definition(readJson(text, where), where, kind);
  }

  get isNull(): boolean {
    return this.value === undefined || this.value === null;
  }

  get text(): string {
    return typeof this.value === "string" ? this.value : this.foreign();
  }

  get flag(): boolean {
    return typeof this.value === "boolean" ? this.value : this.foreign();
  }

  /** A whole number of 0 or more: an id, or a length. */
  get whole(): number {
    const found = wholeOf(this.value);
    return found !== null && found >= 0 && found <= MAX_ID ? found : this.foreign();
  }

  get items(): Definition[] {
    return isList(this.value) ? this.value.map((each) => this.inner(each)) : this.foreign();
  }

  /** The texts of a list of texts, or null when it is none. */
  get textsOrNull(): string[] | null {
    return isList(this.value) ? this.items.map((each) => each.text) : null;
  }

  field(name: string): Definition {
    return isObject(this.value) ? this.inner(this.value.get(name)) : this.foreign();
  }

  item(place: number): Definition {
    return this.items[place] ?? this.foreign();
  }

  /** The ids of an object of ids, in order. */
  ids(): Map<string, number> {
    if (!isObject(this.value)) return this.foreign();
    return new Map([...this.value].map(([name, id]) => [name, this.inner(id).whole]));
  }

  /** Throws `BundleError` unless `condition` holds. */
  expect(condition: boolean, expected: string): void {
    if (!condition) this.refuse(`expected ${expected}, got another; ${FIX}`);
  }

  /** Throws `BundleError` that begins with the file's name. */
  refuse(problem: string): never {
    throw new BundleError(`${this.where}: ${problem}`);
  }

  private inner(value: Json | undefined): Definition {
    return new Definition(value, this.where, this.kind);
  }

  private foreign(): never {
    this.refuse(`expected a ${this.kind} tokenizer, got another; ${FIX}`);
  }
}
