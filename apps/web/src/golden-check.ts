// Compares this browser's stages with PyTorch's, on the golden vectors that a bundle carries.

import type { ModelBundle } from "./bundle.js";
import { type DrawSettings, rowsAfter, settingsOf } from "./draw-settings.js";
import { BundleError } from "./errors.js";
import { FIX } from "./fields.js";
import { type GoldenCase, readGolden } from "./golden-case.js";
import { ofHints } from "./hint-inputs.js";
import { type Stage, countOf } from "./manifest.js";
import type { Picture } from "./picture.js";
import { type StageRunner, guarded, runChecked } from "./runner.js";
import { latentMask, ofPicture } from "./picture-inputs.js";
import { type LatentState, StageInputs } from "./stage-inputs.js";
import { type FloatTensor, type FloatTensors, type Tensor, type Tensors, floats, integers } from "./tensor.js";
import { decodePicture, encodePicture } from "./tiles.js";

/** One comparison. */
export interface GoldenResult {
  readonly prompt: string;
  /** "tokens", the name of a stage, "free_running" or "picture", as in parity.json. */
  readonly check: string;
  /** From 0; null for a check without steps. */
  readonly step: number | null;
  /** Signal-to-noise ratio in dB, for "picture" the PSNR; null for tokens; NaN fails. */
  readonly db: number | null;
  /** The least ratio that passes; null where the manifest states none. */
  readonly limit: number | null;
  readonly passed: boolean;
}

/** 10 log10 of the ratio of two energies; infinity for no error. */
function decibels(signal: number, error: number): number {
  return error === 0 ? Infinity : 10 * Math.log10(signal / error);
}

/** Signal-to-noise ratio of values in dB, or with `peak` the ratio of that peak; NaN where values are not finite. */
export function ratioDb(expected: Float32Array, found: Float32Array, peak: number | null = null): number {
  if (expected.length !== found.length || expected.length === 0) return NaN;
  let [signal, error] = [0, 0];
  expected.forEach((value, place) => {
    signal += value * value;
    error += (found[place]! - value) ** 2;
  });
  if (!Number.isFinite(error)) return NaN;
  return peak === null ? decibels(signal, error) : decibels(peak * peak, error / expected.length);
}

/** Every comparison of every case, one after the other; throws `DiffusionError` when a stage fails. */
export async function* checkGolden(bundle: ModelBundle, runner: StageRunner): AsyncGenerator<GoldenResult, void, void> {
  for (const golden of await readGolden(bundle)) yield* new Replay(bundle, runner, golden).results();
}

class Replay {
  private readonly settings: DrawSettings;
  private readonly inputs: StageInputs;
  private readonly rows: readonly number[];

  constructor(
    private readonly bundle: ModelBundle,
    private readonly runner: StageRunner,
    private readonly golden: GoldenCase,
  ) {
    this.settings = settingsOf(bundle.manifest);
    const { prompt, seed, guidance } = golden;
    const image = this.settings.task === "edit" ? blankPicture(this.settings.image.shape) : null; // not read
    const hints = Array.from({ length: this.settings.controls }, () => ({ picture: blankPicture(this.settings.image.shape) }));
    this.inputs = new StageInputs(this.settings, bundle.tokenizer, { prompt, seed, guidance, image, hints });
    this.rows = rowsAfter(this.settings.schedule, golden.firstStep);
    this.checkShape();
  }

  async *results(): AsyncGenerator<GoldenResult, void, void> {
    const { golden } = this;
    const windows = this.inputs.reading(golden.prompt).versions[0]!.windows;
    const tokens = windows.flatMap((each) => [...each.tokens.ids]);
    yield this.result("tokens", null, null, tokens.join() === golden.integers("tokens").values.join());
    const [recorded, computed] = [new Map<string, FloatTensors>(), new Map<string, FloatTensors>()];
    for (const prefix of this.inputs.prompts.keys()) {
      const found = await this.encode(prefix);
      recorded.set(prefix, new Map([...found.keys()].map((name) => [name, golden.floats(prefix + name)])));
      computed.set(prefix, found);
      for (const [name, each] of found) yield this.compared("encode_text", null, golden.floats(prefix + name), each);
    }
    const clean = golden.has("source") ? await this.encoded() : null;
    if (clean !== null) yield this.compared("encode_image", null, golden.floats("encoded"), clean);
    const features = golden.has("hints") ? await this.encodedHints() : null;
    if (features !== null) yield this.compared("encode_hint", null, golden.floats("hint_features"), features);
    const [of, ofOwn] = [clean === null ? null : golden.floats("encoded"), clean];
    const contexts = this.steered(this.constants(recorded, of), features === null ? null : golden.floats("hint_features"));
    const own = this.steered(this.constants(computed, ofOwn), features);
    for (const [number, row] of this.made.entries()) {
      const after = await this.step(contexts, this.recorded(number), row);
      yield this.compared("denoise", this.stepOf(number), golden.state(number + 1), joined(after));
    }
    const noise = this.inputs.firstState(null);
    let state = clean === null || this.settings.task !== "draw" ? noise : { ...noise, latents: this.inputs.noised(clean, this.rows[0]) };
    for (const [number, row] of this.made.entries()) {
      state = await this.step(own, state, row);
      yield this.compared("free_running", this.stepOf(number), golden.state(number + 1), joined(state));
    }
    const image = golden.floats("image");
    yield this.compared("decode_image", null, image, await this.decoded(this.recorded(this.made.length).latents));
    if (this.made.length === this.rows.length) {
      yield this.compared("picture", null, image, await this.decoded(state.latents));
    }
  }

  /** The rows of which the case holds a step: a large model's has one. */
  private get made(): readonly number[] {
    return this.rows.slice(0, this.golden.states - 1);
  }

  /** The outputs of `encode_text` for the windows of a text. */
  private async encode(prefix: string): Promise<FloatTensors> {
    const { shape } = this.settings.tokens;
    const names = this.settings.usesMask ? ["tokens", "mask"] : ["tokens"];
    const size = countOf(shape);
    const found: FloatTensors[] = [];
    for (let window = 0; window < this.settings.windows; window++) {
      const given = names.map((name): [string, Tensor] => {
        const { values } = this.golden.integers(prefix + name);
        return [name, integers(values.slice(window * size, (window + 1) * size), shape)];
      });
      found.push(await this.run("encode_text", new Map(given)));
    }
    const contexts = found.map((each) => each.get("context")!);
    const [batch, length, width] = contexts[0]!.shape;
    const joined = Float32Array.from(contexts.flatMap((each) => [...each.values]));
    return new Map([...found[0]!, ["context", floats(joined, [batch!, length! * found.length, width!])]]);
  }

  /** What `denoise` takes at every step, of texts and of latents of the picture. */
  private constants(texts: ReadonlyMap<string, FloatTensors>, latents: FloatTensor | null): FloatTensors {
    const contexts = this.inputs.contexts(texts);
    if (latents === null || this.settings.task === "draw") return contexts;
    const mask = this.golden.has("latent_mask") ? this.golden.floats("latent_mask") : latentMask(this.settings, null);
    const guided = this.settings.schedule.guidanceKind === "cfg";
    return new Map([...contexts, ...ofPicture(this.settings, latents, mask, guided ? this.golden.guidance : null)]);
  }

  /** The same with encoded hints and adapters, if there are any. */
  private steered(constants: FloatTensors, features: FloatTensor | null): FloatTensors {
    const hints = features === null ? [] : ofHints(features, this.golden.floats("hint_scales"));
    const names = this.settings.adapters.length > 0 ? ["adapters", "adapter_scales"] : [];
    return new Map([...constants, ...hints, ...names.map((name) => [name, this.golden.floats(name)] as const)]);
  }

  private async encodedHints(): Promise<FloatTensor> {
    return (await this.run("encode_hint", new Map([["hints", this.golden.floats("hints")]]))).get("hint_features")!;
  }

  private async encoded(): Promise<FloatTensor> {
    const encode = async (image: FloatTensor) => (await this.run("encode_image", new Map([["image", image]]))).get("latents")!;
    return encodePicture(encode, this.settings, this.golden.floats("source"));
  }

  private async decoded(latents: FloatTensor): Promise<FloatTensor> {
    const decode = async (tile: FloatTensor) => (await this.run("decode_image", new Map([["latents", tile]]))).get("image")!;
    return decodePicture(decode, this.settings, latents);
  }

  private async step(contexts: FloatTensors, state: LatentState, row: number): Promise<LatentState> {
    let given: Tensors = this.inputs.step(contexts, state, row);
    const unguided = this.inputs.nullStep(contexts, given, row);
    if (unguided !== null) given = this.inputs.guided(given, await this.run("denoise", unguided), row);
    return this.inputs.next(await this.run("denoise", given));
  }

  /** The reference's state in front of a step. */
  private recorded(number: number): LatentState {
    const { latents, memoryShape } = this.settings;
    const all = this.golden.state(number).values;
    const count = latents.shape.reduce((product, size) => product * size, 1);
    return { latents: floats(all.slice(0, count), latents.shape), memory: floats(all.slice(count), memoryShape) };
  }

  /** The place of a recorded step in a whole drawing. */
  private stepOf(number: number): number {
    return this.settings.schedule.steps - this.rows.length + number;
  }

  private async run(stage: Stage, inputs: Tensors): Promise<FloatTensors> {
    await guarded(stage, () => this.runner.load(stage));
    return runChecked(this.runner, this.bundle.manifest, stage, inputs);
  }

  private compared(check: string, step: number | null, expected: FloatTensor, found: FloatTensor): GoldenResult {
    const db = ratioDb(expected.values, found.values, check === "picture" ? 1 : null);
    const limit = this.bundle.manifest.parity.find(
      (each) => each.runtime === this.bundle.runtime.name && each.check === check && ["snr_db", "psnr_db"].includes(each.metric),
    );
    return this.result(check, step, db, limit === undefined ? !Number.isNaN(db) : db >= limit.limit, limit?.limit);
  }

  private result(check: string, step: number | null, db: number | null, passed: boolean, limit?: number): GoldenResult {
    return { prompt: this.golden.prompt, check, step, db, limit: limit ?? null, passed };
  }

  /** Throws `BundleError` unless the recorded states are those of this bundle's steps. */
  private checkShape(): void {
    const { latents, schedule } = this.settings;
    const size = latents.shape.reduce((product, each) => product * each, 1) * (1 + schedule.memory);
    const { states } = this.golden;
    if (states >= 2 && states <= this.rows.length + 1 && this.golden.state(0).values.length === size) return;
    throw new BundleError(`${this.bundle.manifest.golden}: expected states of ${schedule.steps} steps, got others; ${FIX}`);
  }
}

function blankPicture([, channels = 3, height = 0, width = 0]: readonly number[]): Picture {
  return { width, height, rgb: new Uint8Array(channels * height * width) };
}

/** Latents and memory as one tensor, as they are recorded. */
function joined({ latents, memory }: LatentState): FloatTensor {
  const values = new Float32Array(latents.values.length + memory.values.length);
  values.set(latents.values);
  values.set(memory.values, latents.values.length);
  return floats(values, [values.length]);
}
