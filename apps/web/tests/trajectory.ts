import type { BundleSource, ModelBundle } from "../src/bundle.js";
import type { Stage } from "../src/manifest.js";
import type { StageRunner } from "../src/runner.js";
import type { PromptSyntax } from "../src/prompt-pieces.js";
import type { DrawRequest, Hint } from "../src/request.js";
import { type FloatTensor, type FloatTensors, type Tensors, floats } from "../src/tensor.js";
import { assert } from "./checks.js";
import { golden, goldenBytes, hash } from "./golden.js";

export interface PictureHash {
  width: number;
  height: number;
  sha256: string;
}

interface Call {
  stage: Stage;
  inputs: Record<string, { dtype: string; shape: number[]; sha256: string }>;
  outputs: Record<string, { shape: number[]; data: string }>;
}

interface Start {
  width: number;
  height: number;
  pixels: string;
  strength: number | null;
  mask: string | null;
  image_guidance: number | null;
}

interface HintRecord {
  width: number;
  height: number;
  pixels: string;
  scale: number;
}

interface Recorded {
  manifest: string;
  tokenizer: string;
  tokenizer_2?: string;
  request: { prompt: string; negative: string; seed: string; guidance: number | null; syntax?: PromptSyntax; start?: Start; hints?: HintRecord[]; adapters?: { name: string; scale: number }[] };
  adapters?: { files: Record<string, string>; later: Record<string, string> };
  steps: number;
  calls: Call[];
  picture: PictureHash;
  preview?: { text: string; pictures: PictureHash[] };
}

/** A recorded drawing, call by call, and the bundle that it is of: its programs are empty files. */
export class Trajectory implements BundleSource {
  private readonly recorded: Recorded;
  readonly where = "bundle";

  constructor(readonly name: string) {
    this.recorded = golden<Recorded>(`trajectories/${name}.json`);
  }

  get manifest(): string {
    return this.recorded.manifest;
  }

  get steps(): number {
    return this.recorded.steps;
  }

  get calls(): readonly Call[] {
    return this.recorded.calls;
  }

  get picture(): PictureHash {
    return this.recorded.picture;
  }

  /** The stages of the drawing, in the order of their first call. */
  get stages(): Stage[] {
    return [...new Set(this.calls.map((call) => call.stage))];
  }

  get previews(): PictureHash[] | undefined {
    return this.recorded.preview?.pictures;
  }

  /** The request, with adapters that the bundle reads. */
  async requestOf(bundle: ModelBundle): Promise<DrawRequest> {
    const { later = {} } = this.recorded.adapters ?? {};
    const read = (name: string) => bundle.adapter(name, later[name] === undefined ? undefined : bytesOf(later[name]));
    const given = this.recorded.request.adapters ?? [];
    const adapters = await Promise.all(given.map(async ({ name, scale }) => ({ adapter: await read(name), scale })));
    return { ...this.request, adapters };
  }

  get request(): DrawRequest {
    const { start, hints = [], adapters: _, ...request } = this.recorded.request;
    return { ...request, seed: BigInt(request.seed), hints: hints.map(hintOf), ...(start && startOf(start)) };
  }

  read(path: string): Promise<Uint8Array> {
    const texts: Record<string, string | undefined> = {
      "manifest.json": this.manifest,
      "preview.json": this.recorded.preview?.text,
    };
    const words: Record<string, string | undefined> = {
      "tokenizer.json": this.recorded.tokenizer,
      "tokenizer_2.json": this.recorded.tokenizer_2,
    };
    const adapter = this.recorded.adapters?.files[path];
    if (adapter !== undefined) return Promise.resolve(bytesOf(adapter));
    const file = words[path];
    if (file !== undefined) return Promise.resolve(goldenBytes(file));
    return Promise.resolve(new TextEncoder().encode(texts[path] ?? ""));
  }
}

/** Compares each call with a recorded one, and returns the recorded outputs. */
export class ReplayRunner implements StageRunner {
  /** "load denoise" and so on, in order. */
  readonly log: string[] = [];
  readonly loaded = new Set<Stage>();
  private next = 0;

  constructor(private readonly trajectory: Trajectory) {}

  load(stage: Stage): Promise<void> {
    this.log.push(`load ${stage}`);
    assert.ok(!this.loaded.has(stage), `${stage} is loaded twice`);
    this.loaded.add(stage);
    return Promise.resolve();
  }

  unload(stage: Stage): Promise<void> {
    this.log.push(`unload ${stage}`);
    this.loaded.delete(stage);
    return Promise.resolve();
  }

  run(stage: Stage, inputs: Tensors): Promise<FloatTensors> {
    this.log.push(`run ${stage}`);
    assert.ok(this.loaded.has(stage), `${stage} is run before it is loaded`);
    const call = this.trajectory.calls[this.next++ % this.trajectory.calls.length]!;
    const place = `of call ${this.next}`;
    assert.equal(stage, call.stage);
    assert.deepEqual([...inputs.keys()].sort(), Object.keys(call.inputs).sort(), `inputs ${place}`);
    for (const [name, expected] of Object.entries(call.inputs)) {
      const { values, shape } = inputs.get(name)!;
      assert.deepEqual(shape, expected.shape, `shape of ${name} ${place}`);
      assert.equal(values instanceof Float32Array, expected.dtype === "float32", `type of ${name} ${place}`);
      assert.equal(hash(values), expected.sha256, `${name} ${place}`);
    }
    return Promise.resolve(outputsOf(call));
  }
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "base64"));
}

function hintOf({ width, height, pixels, scale }: HintRecord): Hint {
  return { picture: { width, height, rgb: Uint8Array.from(Buffer.from(pixels, "base64")) }, scale };
}

function startOf({ width, height, pixels, mask, ...start }: Start): Partial<DrawRequest> {
  const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "base64"));
  const image = { width, height, rgb: bytes(pixels) };
  const { strength, image_guidance: imageGuidance } = start;
  return { image, strength, imageGuidance, mask: mask === null ? null : bytes(mask) };
}

/** The outputs of a recorded call. */
export function outputsOf({ outputs }: Call): FloatTensors {
  return new Map(Object.entries(outputs).map(([name, each]) => [name, tensorOf(each)]));
}

function tensorOf({ shape, data }: { shape: number[]; data: string }): FloatTensor {
  const bytes = Uint8Array.from(Buffer.from(data, "base64"));
  return floats(new Float32Array(bytes.buffer), shape);
}
