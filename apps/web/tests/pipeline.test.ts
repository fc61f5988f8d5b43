// What the golden files do not hold: refusals, an end in the middle, damaged files, hashes.

import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { ModelBundle } from "../src/bundle.js";
import { BundleError, ModelError, PromptError } from "../src/errors.js";
import type { Stage } from "../src/manifest.js";
import { parseDecimal, parseSeed, roundHalfEven } from "../src/numbers.js";
import { Pipeline } from "../src/pipeline.js";
import { Sha256, sha256 } from "../src/sha256.js";
import type { DrawRequest } from "../src/request.js";
import { plain, quote } from "../src/text.js";
import { assert } from "./checks.js";
import { hash, oneLine } from "./golden.js";
import { ReplayRunner, Trajectory } from "./trajectory.js";

async function open(name: string): Promise<{ pipeline: Pipeline; runner: ReplayRunner; trajectory: Trajectory }> {
  const trajectory = new Trajectory(name);
  const runner = new ReplayRunner(trajectory);
  return { pipeline: new Pipeline(await ModelBundle.open(trajectory, "xnnpack"), runner), runner, trajectory };
}

async function drawn(pipeline: Pipeline, request: DrawRequest): Promise<string[]> {
  const kinds: string[] = [];
  for await (const event of pipeline.draw(request)) kinds.push(event.kind);
  return kinds;
}

async function refused(action: Promise<unknown>, kind: new (message: string) => Error): Promise<string> {
  const error: unknown = await action.then(() => null, (reason: unknown) => reason);
  assert.ok(error instanceof kind, String(error));
  return oneLine(error.message);
}

test("requests that cannot be drawn", async () => {
  const { pipeline } = await open("ddim");
  for (const guidance of [31, Number.NaN, Number.POSITIVE_INFINITY]) {
    const message = await refused(drawn(pipeline, { prompt: "a", guidance }), PromptError);
    assert.ok(message.includes("a number up to 30"), message);
  }
  const picture = { width: 1, height: 1, rgb: new Uint8Array(3) };
  const message = await refused(drawn(pipeline, { prompt: "a", image: picture }), PromptError);
  assert.ok(message.includes("--image-to-image"), message);
  const { pipeline: distilled } = await open("lcm");
  assert.ok((await refused(drawn(distilled, { prompt: "a", guidance: 2 }), PromptError)).includes("distilled with, got 2"));
  assert.ok((await refused(drawn(distilled, { prompt: "a", negative: "b" }), PromptError)).includes("negative prompt"));
  const { pipeline: unguided } = await open("unguided");
  assert.ok((await refused(drawn(unguided, { prompt: "a", guidance: 2 }), PromptError)).includes("exported without guidance"));
});

test("what a user should know", async () => {
  const { pipeline } = await open("ddim");
  assert.deepEqual(pipeline.warnings({ prompt: "a cat" }), []);
  assert.match(pipeline.warnings({ prompt: "a cat ".repeat(60) })[0]!, /its end is ignored/);
  assert.match(pipeline.warnings({ prompt: "\u{1f34e}" })[0]!, /knows no word/);
  assert.match(pipeline.warnings({ prompt: "a", negative: "b", guidance: 1 })[0]!, /no effect at guidance 1;/);
});

test("one drawing at a time, and an end in the middle leaves the pipeline usable", async () => {
  const { pipeline, trajectory } = await open("ddim");
  const drawing = pipeline.draw(trajectory.request);
  await drawing.next();
  assert.ok((await refused(drawn(pipeline, trajectory.request), ModelError)).includes("one drawing at a time"));
  await drawing.return();
  assert.equal((await drawn(pipeline, trajectory.request)).at(-1), "finished");
});

test("a stage that fails gives all memory back, in one line", async () => {
  const { pipeline, runner, trajectory } = await open("ddim");
  const run = runner.run.bind(runner);
  runner.run = (stage: Stage, inputs) => (stage === "denoise" ? Promise.reject(new Error("two\nlines")) : run(stage, inputs));
  const message = await refused(drawn(pipeline, trajectory.request), ModelError);
  assert.equal(message, "denoise: expected outputs, got an error: 'two?lines'");
  assert.equal(runner.loaded.size, 0);
});

test("outputs that are not the manifest's, or not finite", async () => {
  const { pipeline, runner, trajectory } = await open("ddim");
  const run = runner.run.bind(runner);
  runner.run = async (stage, inputs) => {
    const outputs = await run(stage, inputs);
    if (stage === "denoise") outputs.get("latents")!.values[0] = Number.NaN;
    return outputs;
  };
  assert.equal(trajectory.steps > 1, true);
  const only = { ...trajectory.request };
  const message = await drawn(pipeline, only).then(() => "", (error: Error) => error.message);
  assert.match(message, /latents of call|1 NaN or infinite/);
  runner.run = () => Promise.resolve(new Map());
  assert.ok((await refused(drawn(pipeline, only), ModelError)).includes("expected context of shape"));
});

test("a bundle without the runtime, and files that changed", async () => {
  const message = await refused(ModelBundle.open(new Trajectory("ddim")), BundleError);
  assert.ok(message.includes("bundle: expected programs for onnx, got xnnpack; export it with: mobile-diffusion export web"));
  for (const [path, change, part] of [
    ["tokenizer.json", (bytes: Uint8Array) => bytes.slice(1), "bytes, got"],
    ["preview.json", (bytes: Uint8Array) => bytes.map((byte, place) => (place === 5 ? byte ^ 1 : byte)), "SHA-256"],
    ["manifest.json", () => new Uint8Array([0xff, 0xfe]), "expected JSON"],
  ] as const) {
    const trajectory = new Trajectory("ddim");
    const read = trajectory.read.bind(trajectory);
    trajectory.read = async (name) => (name === path ? change(await read(name)) : read(name));
    const found = await refused(ModelBundle.open(trajectory, "xnnpack"), BundleError);
    assert.ok(found.includes(part) && found.includes(path), found);
  }
});

test("hashes of any length, in pieces of any length", () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 100_000]) {
    const bytes = new Uint8Array(randomBytes(length));
    assert.equal(sha256(bytes), hash(bytes), `${length} bytes`);
    const pieces = new Sha256();
    for (let place = 0; place < length; place += 37) pieces.update(bytes.subarray(place, place + 37));
    assert.equal(pieces.digest(), hash(bytes));
  }
});

test("numbers that a user types, and numbers in sentences", () => {
  assert.equal(parseSeed("0"), 0n);
  assert.equal(parseSeed("18446744073709551615"), 2n ** 64n - 1n);
  for (const other of ["", "-1", "+1", "1.5", " 1", "1 ", "18446744073709551616", "١", "1e3", "0x1"]) {
    assert.equal(parseSeed(other), null, other);
  }
  for (const [text, number] of [["2.5", 2.5], ["-0.25", -0.25], ["30", 30], ["1e-2", 0.01], ["5E+1", 50]] as const) {
    assert.equal(parseDecimal(text), number);
  }
  for (const other of ["", "2,5", "nan", "Infinity", "1f", "0x1p3", " 1", "1.", ".5", "٢٫٥", "--1"]) {
    assert.equal(parseDecimal(other), null, other);
  }
  assert.deepEqual([0.5, 1.5, 2.5, 2.49, 254.5].map(roundHalfEven), [0, 2, 2, 2, 254]);
  assert.deepEqual([2, 2.5, -3].map(plain), ["2", "2.5", "-3"]);
  assert.equal(quote("a\nb\u2028"), "'a?b?'");
  assert.equal(quote("x".repeat(61)), `'${"x".repeat(60)}...'`);
});
