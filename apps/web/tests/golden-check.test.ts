// The golden check on a recorded drawing: what was recorded passes, and one planted NaN fails where it is.

import { test } from "node:test";
import { ModelBundle } from "../src/bundle.js";
import { settingsOf } from "../src/draw-settings.js";
import { type GoldenResult, checkGolden, ratioDb } from "../src/golden-check.js";
import { countOf } from "../src/manifest.js";
import { gaussian } from "../src/noise.js";
import type { StageRunner } from "../src/runner.js";
import { type FloatTensors, type Tensors } from "../src/tensor.js";
import { assert } from "./checks.js";
import { hash } from "./golden.js";
import { Trajectory, outputsOf } from "./trajectory.js";

const bytesOf = (values: Float32Array | Int32Array): Uint8Array => new Uint8Array(values.buffer).slice(0, values.byteLength);

/** A recorded drawing as a bundle with golden vectors. */
async function withVectors(trajectory: Trajectory): Promise<ModelBundle> {
  const bare = await ModelBundle.open(trajectory, "xnnpack");
  const { latents } = settingsOf(bare.manifest);
  const { prompt, negative, seed, guidance } = trajectory.request;
  const calls = trajectory.calls.map((call) => ({ stage: call.stage, outputs: outputsOf(call) }));
  const texts = calls.filter((call) => call.stage === "encode_text").map((call) => call.outputs.get("context")!);
  const states = calls.filter((call) => call.stage === "denoise").map((call) => call.outputs.get("latents")!);
  const first = gaussian(seed ?? 0n, countOf(latents.shape));
  const all = Float32Array.from([first, ...states.map((each) => each.values)].flatMap((each) => [...each]));
  const files = new Map<string, Uint8Array>();
  const tensors: Record<string, unknown> = {};
  const add = (name: string, values: Float32Array | Int32Array, shape: readonly number[]): void => {
    files.set(`golden/${name}.bin`, bytesOf(values));
    tensors[name] = { path: `golden/${name}.bin`, dtype: values instanceof Int32Array ? "int32" : "float32", shape };
  };
  for (const [place, [prefix, text]] of [["", prompt], ["null_", negative ?? ""]].entries()) {
    const tokens = bare.tokenizer.encode(text!);
    add(`${prefix}tokens`, tokens.ids, [1, tokens.ids.length]);
    add(`${prefix}mask`, tokens.mask, [1, tokens.mask.length]);
    add(`${prefix}context`, texts[place]!.values, texts[place]!.shape);
  }
  add("states", all, [states.length + 1, ...latents.shape.slice(1)]);
  const image = calls.at(-1)!.outputs.get("image")!;
  add("image", image.values, image.shape);
  const scale = guidance ?? bare.manifest.schedule.guidance;
  const golden = { prompt, seed: String(seed), strength: 1, guidance: scale, first_step: 0, tensors };
  const index = { schema_version: 2, byte_order: "little", cases: [golden] };
  files.set(bare.manifest.golden, new TextEncoder().encode(JSON.stringify(index)));
  const manifest = JSON.parse(trajectory.manifest) as { files: { path: string }[] };
  manifest.files = manifest.files.filter((each) => !files.has(each.path));
  for (const [path, bytes] of files) manifest.files.push({ path, ...{ size: bytes.length, sha256: hash(bytes) } });
  files.set("manifest.json", new TextEncoder().encode(JSON.stringify(manifest)));
  const read = (path: string): Promise<Uint8Array> => Promise.resolve(files.get(path) ?? trajectory.read(path));
  return ModelBundle.open({ where: "bundle", read }, "xnnpack");
}

/** Answers a call with the outputs of the recorded call of the same inputs. */
class LookUpRunner implements StageRunner {
  constructor(
    private readonly trajectory: Trajectory,
    private readonly spoil: (stage: string, outputs: FloatTensors) => void = () => undefined,
  ) {}

  load = (): Promise<void> => Promise.resolve();
  unload = (): Promise<void> => Promise.resolve();

  run(stage: string, inputs: Tensors): Promise<FloatTensors> {
    const call = this.trajectory.calls.find((each) => {
      const recorded = Object.entries(each.inputs);
      const same = recorded.every(([name, { sha256 }]) => sha256 === hash(inputs.get(name)?.values ?? new Int32Array()));
      return each.stage === stage && recorded.length === inputs.size && same;
    });
    assert.ok(call !== undefined, `${stage}: no such call was recorded`);
    const outputs = outputsOf(call);
    this.spoil(stage, outputs);
    return Promise.resolve(outputs);
  }
}

async function results(bundle: ModelBundle, runner: StageRunner): Promise<GoldenResult[]> {
  const found: GoldenResult[] = [];
  for await (const result of checkGolden(bundle, runner)) found.push(result);
  return found;
}

test("what was recorded passes", async () => {
  const trajectory = new Trajectory("ddim");
  const found = await results(await withVectors(trajectory), new LookUpRunner(trajectory));
  const { steps } = trajectory;
  const counts = new Map<string, number>();
  for (const { check } of found) counts.set(check, (counts.get(check) ?? 0) + 1);
  const expected = { tokens: 1, encode_text: 2, denoise: steps, free_running: steps, decode_image: 1, picture: 1 };
  assert.deepEqual(Object.fromEntries(counts), expected);
  assert.ok(found.every((each) => each.passed && (each.db === null || each.db === Infinity)));
});

test("NaN fails where it is", async () => {
  const trajectory = new Trajectory("ddim");
  const spoil = (stage: string, outputs: FloatTensors): void => {
    if (stage === "decode_image") outputs.get("image")!.values[3] = Number.NaN;
  };
  const found = await results(await withVectors(trajectory), new LookUpRunner(trajectory, spoil));
  assert.deepEqual(found.filter((each) => !each.passed).map((each) => each.check), ["decode_image", "picture"]);
});

test("decibels", () => {
  const values = new Float32Array([3, 4]);
  assert.equal(ratioDb(values, values), Infinity);
  assert.ok(Math.abs(ratioDb(values, new Float32Array([3, 4.5])) - 20) < 1e-9); // 25 / 0.25
  assert.ok(Math.abs(ratioDb(values, new Float32Array([3, 4.5]), 1) - 10 * Math.log10(8)) < 1e-9);
  assert.ok(Number.isNaN(ratioDb(values, new Float32Array([3, Number.NaN]))));
  assert.ok(Number.isNaN(ratioDb(values, new Float32Array([3]))));
});
