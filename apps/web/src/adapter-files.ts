// The files of adapters: LoRAs that a drawing turns on and off (export/bundle/adapter_files.py).

import type { Adapter } from "./adapter-inputs.js";
import { BundleError } from "./errors.js";
import { FIX, Fields, wholeOf } from "./fields.js";
import { readJson } from "./json.js";
import { countOf } from "./manifest.js";
import { floats } from "./tensor.js";
import { decodeUtf8, quote } from "./text.js";

export const ADAPTER_INDEX = "adapters/index.json";

const NAME = /^[A-Za-z0-9_-]{1,40}$/;
const TENSOR = "factors";
const MAX_HEADER = 1 << 16;
const REMEDY = "make it for this bundle with `mobile-diffusion export adapter`";

/** What a bundle's adapters change. */
export interface AdapterRoom {
  /** Names of the bundle's own adapters, in order. */
  readonly names: readonly string[];
  /** SHA-256 of the rank and the layers, which the file of an adapter repeats. */
  readonly fingerprint: string;
  /** Rank and columns of an adapter. */
  readonly shape: readonly number[];
}

/** The path of an adapter's file in a bundle. */
export function adapterPath(name: string): string {
  return `adapters/${name}.safetensors`;
}

/** Reads the index for adapters of `shape`, (n, r, P); throws `BundleError`. */
export function readAdapterIndex(text: string, shape: readonly number[], where: string): AdapterRoom {
  const fields = new Fields(readJson(text, where), where, "schema_version", "fingerprint", "names", "rank", "layers");
  const names = fields.list("names").map((each) => (typeof each === "string" ? each : fields.refuse("names", "texts")));
  if (!names.every((each) => NAME.test(each)) || new Set(names).size !== names.length) {
    fields.refuse("names", "different names of letters, digits, - and _");
  }
  const layers = fields.list("layers").map((each) => new Fields(each, `${where}: layers`, "name", "inputs", "outputs"));
  const columns = layers.reduce((sum, each) => sum + each.whole("inputs") + each.whole("outputs"), 0);
  const found = [names.length, fields.whole("rank"), columns];
  if (found.join() !== shape.join()) {
    throw new BundleError(`${where}: expected adapters of ${shape.join(" x ")}, got ${found.join(" x ")}; ${FIX}`);
  }
  return { names, fingerprint: fields.text("fingerprint"), shape: shape.slice(1) };
}

/** Reads the file of an adapter; throws `BundleError` unless it fits the room. */
export function readAdapter(bytes: Uint8Array, name: string, room: AdapterRoom, where: string): Adapter {
  if (!NAME.test(name)) throw new BundleError(`${where}: expected a name of letters, digits, - and _, got ${quote(name)}; rename it`);
  const length = bytes.length < 8 ? Infinity : Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const text = length <= Math.min(MAX_HEADER, bytes.length - 8) ? decodeUtf8(bytes.subarray(8, 8 + length)) : null;
  if (text === null) throw new BundleError(`${where}: expected the file of an adapter, got something else; ${REMEDY}`);
  const header = new Fields(readJson(text, where), where, "__metadata__", TENSOR);
  const fingerprint = new Fields(header.object("__metadata__"), where, "fingerprint").text("fingerprint");
  const tensor = new Fields(header.object(TENSOR), where, "dtype", "shape", "data_offsets");
  const [type, shape, offsets] = [tensor.text("dtype"), wholes(tensor, "shape"), wholes(tensor, "data_offsets")];
  const size = 4 * countOf(room.shape);
  const whole = offsets.join() === [0, size].join() && bytes.length === 8 + length + size;
  if (fingerprint !== room.fingerprint || type !== "F32" || shape.join() !== room.shape.join() || !whole) {
    const expected = `F32 ${room.shape.join(" x ")} of ${room.fingerprint.slice(0, 12)}...`;
    const got = `${quote(type)} ${shape.join(" x ")} of ${quote(fingerprint.slice(0, 12))}...`;
    throw new BundleError(`${where}: expected an adapter of this bundle's layers, ${expected}, got ${got}; ${REMEDY}`);
  }
  const values = new Float32Array(bytes.slice(8 + length).buffer);
  if (!values.every(Number.isFinite)) throw new BundleError(`${where}: expected finite numbers, got NaN or infinity; ${REMEDY}`);
  return { name, factors: floats(values, room.shape) };
}

function wholes(fields: Fields, name: string): number[] {
  return fields.list(name).map((each) => wholeOf(each) ?? fields.refuse(name, "whole numbers"));
}
