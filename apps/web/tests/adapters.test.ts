// Files and requests of adapters that cannot be used, each refused in one line.

import { test } from "node:test";
import { ADAPTER_INDEX, readAdapter, readAdapterIndex } from "../src/adapter-files.js";
import { ModelBundle } from "../src/bundle.js";
import { BundleError, PromptError } from "../src/errors.js";
import { Pipeline } from "../src/pipeline.js";
import { assert } from "./checks.js";
import { refusal, oneLine } from "./golden.js";
import { ReplayRunner, Trajectory } from "./trajectory.js";

const trajectory = new Trajectory("adapters");
const bundle = await ModelBundle.open(trajectory, "xnnpack");
const room = (await bundle.adapterRoom())!;

async function message(action: Promise<unknown>, kind: new (message: string) => Error): Promise<string> {
  const error: unknown = await action.then(() => null, (reason: unknown) => reason);
  assert.ok(error instanceof kind, String(error));
  return oneLine(error.message);
}

test("names and factors of a bundle's adapters", async () => {
  assert.deepEqual(room.names, ["ink", "clay"]);
  const [ink, clay] = [await bundle.adapter("ink"), await bundle.adapter("clay")];
  assert.deepEqual(ink.factors.shape, room.shape);
  assert.ok(ink.factors.values.some((each, place) => each !== clay.factors.values[place]));
  assert.match(await message(bundle.adapter("oil"), BundleError), /expected one of ink, clay, got 'oil'/);
});

test("damaged files of adapters", async () => {
  const whole = (await bundle.read("adapters/ink.safetensors")).slice();
  const length = Number(new DataView(whole.buffer).getBigUint64(0, true));
  const text = new TextDecoder().decode(whole.subarray(8, 8 + length));
  const edited = (from: string | RegExp, to: string): Uint8Array => {
    const header = new TextEncoder().encode(text.replace(from, to));
    const bytes = new Uint8Array(8 + header.length + whole.length - 8 - length);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
    bytes.set(header, 8);
    bytes.set(whole.subarray(8 + length), 8 + header.length);
    return bytes;
  };
  assert.deepEqual(readAdapter(edited("", ""), "ink", room, "ink").factors.shape, room.shape);
  const infinite = whole.slice();
  new DataView(infinite.buffer).setFloat32(8 + length + 4, Infinity, true);
  const huge = whole.slice();
  new DataView(huge.buffer).setBigUint64(0, 2n ** 63n, true);
  const wrong: [Uint8Array, RegExp][] = [
    [new Uint8Array(), /the file of an adapter/],
    [whole.subarray(0, 7), /the file of an adapter/],
    [huge, /the file of an adapter/],
    [whole.subarray(0, -4), /an adapter of this bundle's layers/],
    [edited(room.fingerprint, "0".repeat(64)), /an adapter of this bundle's layers/],
    [edited("F32", "F16"), /an adapter of this bundle's layers/],
    [edited(/"shape":\[\d+,/, '"shape":[3,'), /an adapter of this bundle's layers/],
    [edited('"factors"', '"weights"'), /expected/],
    [edited("{", "["), /expected/],
    [infinite, /finite numbers/],
  ];
  for (const [bytes, expected] of wrong) assert.match(refusal(() => readAdapter(bytes, "ink", room, "ink"), BundleError), expected);
  assert.match(refusal(() => readAdapter(whole, "../ink", room, "ink"), BundleError), /a name of letters/);
});

test("damaged indices of adapters", async () => {
  const text = new TextDecoder().decode(await bundle.read(ADAPTER_INDEX));
  const shape = [2, ...room.shape];
  for (const [from, to] of [["clay", "../clay"], ["clay", "ink"], ['"rank": 2', '"rank": 3'], ['"inputs"', '"in"'], ["{", ""]] as const) {
    refusal(() => readAdapterIndex(text.replace(from, to), shape, "index"), BundleError);
  }
  refusal(() => readAdapterIndex(text, [3, ...room.shape], "index"), BundleError);
});

test("adapters that a drawing cannot turn on", async () => {
  const [ink, clay] = [await bundle.adapter("ink"), await bundle.adapter("clay")];
  const draw = async (adapters: { adapter: typeof ink; scale: number }[], of = trajectory) => {
    const pipeline = new Pipeline(await ModelBundle.open(of, "xnnpack"), new ReplayRunner(of));
    for await (const _ of pipeline.draw({ ...of.request, adapters })) break;
  };
  for (const scale of [5.1, Number.NaN, -Infinity]) {
    assert.match(await message(draw([{ adapter: ink, scale }]), PromptError), /adapter ink: expected a scale from -5 to 5/);
  }
  const [one, two] = [{ adapter: ink, scale: 1 }, { adapter: clay, scale: 1 }];
  assert.match(await message(draw([one, one]), PromptError), /each name once/);
  const three = { adapter: { ...clay, name: "oil" }, scale: 1 };
  assert.match(await message(draw([one, two, three]), PromptError), /up to 2 at once, for which there is room, got 3/);
  assert.match(await message(draw([one], new Trajectory("ddim")), PromptError), /expected none, as this model has none, got 'ink'/);
});
