// Golden vectors of a bundle: `golden/index.json`, and a file of little-endian values per tensor.

import type { ModelBundle } from "./bundle.js";
import { BundleError } from "./errors.js";
import { FIX, Fields, wholeOf } from "./fields.js";
import { type Json, isObject, readJson } from "./json.js";
import { countOf } from "./manifest.js";
import { parseSeed } from "./numbers.js";
import { innerPath } from "./paths.js";
import { type FloatTensor, type IntTensor, type Tensor, floats, integers } from "./tensor.js";
import { decodeUtf8 } from "./text.js";

/** One prompt that PyTorch drew, with what it computed on the way. */
export class GoldenCase {
  constructor(
    readonly prompt: string,
    readonly seed: bigint,
    readonly guidance: number,
    /** Steps that a drawing from a picture skips. */
    readonly firstStep: number,
    private readonly tensors: ReadonlyMap<string, Tensor>,
    private readonly where: string,
  ) {}

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  floats(name: string): FloatTensor {
    const found = this.tensors.get(name);
    return found && found.values instanceof Float32Array ? (found as FloatTensor) : this.lost(name);
  }

  integers(name: string): IntTensor {
    const found = this.tensors.get(name);
    return found && found.values instanceof Int32Array ? (found as IntTensor) : this.lost(name);
  }

  /** States on record: one before each step, and one after the last. */
  get states(): number {
    return this.floats("states").shape[0] ?? 0;
  }

  /** Latents and memory in front of a step. */
  state(number: number): FloatTensor {
    const { values } = this.floats("states");
    const size = values.length / this.states;
    return floats(values.slice(number * size, (number + 1) * size), [size]);
  }

  private lost(name: string): never {
    throw new BundleError(`${this.where}: expected the tensor ${name}, got none; ${FIX}`);
  }
}

/** All cases of a bundle; throws `BundleError` for a malformed index or a file that changed. */
export async function readGolden(bundle: ModelBundle): Promise<GoldenCase[]> {
  const where = bundle.manifest.golden;
  const text = decodeUtf8(await bundle.read(where)) ?? "";
  const index = new Fields(readJson(text, where), where, "schema_version", "byte_order", "cases");
  const cases: GoldenCase[] = [];
  for (const each of index.list("cases")) cases.push(await readCase(bundle, each, where));
  if (cases.length === 0) index.refuse("cases", "a case at least");
  return cases;
}

async function readCase(bundle: ModelBundle, value: Json, where: string): Promise<GoldenCase> {
  const names = ["prompt", "seed", "strength", "guidance", "first_step", "tensors"];
  const fields = new Fields(value, `${where}: cases`, ...names);
  const seed = parseSeed(fields.text("seed")) ?? fields.refuse("seed", "a seed");
  const tensors = new Map<string, Tensor>();
  for (const [name, entry] of fields.object("tensors")) {
    if (!isObject(entry)) fields.refuse("tensors", "an object for each tensor");
    tensors.set(name, await readTensor(bundle, entry, `${where}: ${name}`));
  }
  return new GoldenCase(fields.text("prompt"), seed, fields.number("guidance"), fields.whole("first_step"), tensors, where);
}

async function readTensor(bundle: ModelBundle, value: Json, where: string): Promise<Tensor> {
  const fields = new Fields(value, where, "path", "dtype", "shape");
  const shape = fields.list("shape").map((each) => wholeOf(each) ?? fields.refuse("shape", "whole numbers"));
  const bytes = (await bundle.read(innerPath(fields, "path"))).slice(); // aligned
  if (bytes.length !== 4 * countOf(shape)) fields.refuse("shape", `the shape of ${bytes.length} bytes`);
  const isFloat = fields.oneOf("dtype", ["float32", "int32"] as const) === "float32";
  return isFloat ? floats(new Float32Array(bytes.buffer), shape) : integers(new Int32Array(bytes.buffer), shape);
}
