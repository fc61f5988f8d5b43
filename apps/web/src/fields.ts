import { BundleError } from "./errors.js";
import { type Json, JsonNumber, type JsonObject, isList, isObject, writeJson } from "./json.js";
import { quote } from "./text.js";

/** What the line of a refusal ends with. */
export const FIX = "export the bundle again";

/** A value as it may stand in an error. */
export function describe(value: Json): string {
  return quote(typeof value === "string" ? value : writeJson(value));
}

/** The whole number that a value is, or null. */
export function wholeOf(value: Json | undefined): number | null {
  return value instanceof JsonNumber ? value.whole : null;
}

/** A JSON object read strictly: it has exactly the fields that are named, and each is of the type that is asked for. */
export class Fields {
  private readonly values: JsonObject;

  constructor(
    value: Json,
    private readonly where: string,
    ...names: string[]
  ) {
    if (!isObject(value)) throw new BundleError(`${where}: expected an object, got ${describe(value)}; ${FIX}`);
    this.values = value;
    const unknown = [...value.keys()].find((name) => !names.includes(name));
    if (unknown !== undefined) {
      throw new BundleError(`${where}: expected only known fields, got ${quote(unknown)}; ${FIX}`);
    }
    const lost = [...names].sort().find((name) => !value.has(name));
    if (lost !== undefined) throw new BundleError(`${where}: expected the field ${lost}, got none; ${FIX}`);
  }

  text(name: string): string {
    const value = this.get(name);
    return typeof value === "string" ? value : this.refuse(name, "text");
  }

  flag(name: string): boolean {
    const value = this.get(name);
    return typeof value === "boolean" ? value : this.refuse(name, "true or false");
  }

  whole(name: string): number {
    return wholeOf(this.get(name)) ?? this.refuse(name, "a whole number");
  }

  number(name: string): number {
    const value = this.get(name);
    return value instanceof JsonNumber ? Number(value.text) : this.refuse(name, "a number");
  }

  list(name: string): readonly Json[] {
    const value = this.get(name);
    return isList(value) ? value : this.refuse(name, "a list");
  }

  object(name: string): JsonObject {
    const value = this.get(name);
    return isObject(value) ? value : this.refuse(name, "an object");
  }

  texts(name: string): string[] {
    return this.list(name).map((each) => (typeof each === "string" ? each : this.refuse(name, "a list of texts")));
  }

  numbers(name: string): number[] {
    return this.list(name).map((each) =>
      each instanceof JsonNumber ? Number(each.text) : this.refuse(name, "a list of numbers"),
    );
  }

  oneOf<Choice extends string>(name: string, choices: readonly Choice[]): Choice {
    const found = this.text(name);
    return choices.find((each) => each === found) ?? this.refuse(name, `one of ${choices.join(", ")}`);
  }

  /** Throws `BundleError` naming the field. */
  refuse(name: string, expected: string): never {
    const value = this.values.get(name);
    const got = value === undefined ? "none" : describe(value);
    throw new BundleError(`${this.where}: ${name}: expected ${expected}, got ${got}; ${FIX}`);
  }

  private get(name: string): Json {
    return this.values.get(name) ?? null;
  }
}
