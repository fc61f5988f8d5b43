// What the stages are given: pure functions of the request and of the outputs before.

import { checkAdapters, ofAdapters } from "./adapter-inputs.js";
import { type DrawSettings, rowsAfter } from "./draw-settings.js";
import { PromptError } from "./errors.js";
import { checkHints, hintImages, hintScales, ofHints } from "./hint-inputs.js";
import { countOf } from "./manifest.js";
import { gaussian } from "./noise.js";
import { DEFAULT_STRENGTH, checkPicture, cleanPicture, latentMask, ofPicture, readPicture } from "./picture-inputs.js";
import { type DrawRequest, MAX_GUIDANCE } from "./request.js";
import { type FloatTensor, type FloatTensors, type Tensor, type Tensors, floats, integers } from "./tensor.js";
import { plain } from "./text.js";
import { type Reading, readPrompt } from "./prompt-windows.js";
import type { Tokenizer, Tokens } from "./tokenizer.js";

/** Begins the names of the null text's tensors. */
const NULL = "null_";

/** What changes from step to step: latents (1, C, h, w), and what the solver remembers (1, M * C, h, w). */
export interface LatentState {
  readonly latents: FloatTensor;
  readonly memory: FloatTensor;
}

export class StageInputs {
  /** The input `step` of every call of `denoise`. */
  readonly rows: readonly number[];
  private readonly guidance: number | null;
  private readonly mask: FloatTensor;
  private readonly noMemory: FloatTensor;
  private readonly noOutput: FloatTensor;
  private drawnNoise: FloatTensor | null = null;

  /** Throws `PromptError` for a request that cannot be drawn. */
  constructor(
    private readonly settings: DrawSettings,
    private readonly tokenizer: Tokenizer,
    private readonly request: DrawRequest,
  ) {
    const { latents, memoryShape } = settings;
    this.noMemory = floats(new Float32Array(countOf(memoryShape)), memoryShape);
    this.noOutput = floats(new Float32Array(countOf(latents.shape)), latents.shape);
    this.guidance = checkedGuidance(settings, request);
    checkPicture(settings, request);
    checkHints(settings, request);
    checkAdapters(settings, request);
    const strength = request.strength ?? (settings.task === "draw" ? DEFAULT_STRENGTH : 1);
    this.rows = request.image ? checkedRows(settings, strength) : rowsAfter(settings.schedule, 0);
    this.mask = latentMask(settings, request.mask);
  }

  /** The prompts that `encode_text` reads, by what begins the names of its outputs as inputs of `denoise`. */
  get prompts(): ReadonlyMap<string, string> {
    const { prompt, negative = "" } = this.request;
    const { guidanceKind, zeroNull } = this.settings.schedule;
    const encoded = guidanceKind === "cfg" && !(zeroNull && negative === "");
    return new Map([["", prompt], ...(encoded ? ([[NULL, negative]] as const) : [])]);
  }

  /** What `denoise` takes of encoded `prompts` at every step; zeros in place of a null text that is not encoded. */
  contexts(encoded: ReadonlyMap<string, FloatTensors>): FloatTensors {
    const prompt = encoded.get("")!;
    const contexts = new Map(prompt);
    if (this.settings.schedule.guidanceKind !== "cfg") return contexts;
    for (const [name, { values, shape }] of prompt) {
      const zeros = () => floats(new Float32Array(values.length), shape);
      contexts.set(NULL + name, encoded.get(NULL)?.get(name) ?? zeros());
    }
    return contexts;
  }

  /** A prompt as it is read; throws `PromptError`. */
  reading(prompt: string): Reading {
    return readPrompt(this.tokenizer, prompt, this.request.syntax ?? "plain", this.settings.windows);
  }

  /** Inputs of `encode_text` for a window. */
  text(tokens: Tokens): Map<string, Tensor> {
    const { shape } = this.settings.tokens;
    const inputs = new Map<string, Tensor>([["tokens", integers(tokens.ids, shape)]]);
    if (this.settings.usesMask) inputs.set("mask", integers(tokens.mask, shape));
    return inputs;
  }

  /** Inputs of `encode_image` for what `denoise` reads of a picture at every step; null when it reads none. */
  read(): Map<string, Tensor> | null {
    return readPicture(this.settings, this.request);
  }

  /** What `denoise` takes of the latents of `read`. */
  ofPicture(latents: FloatTensor): FloatTensors {
    return ofPicture(this.settings, latents, this.mask, this.guidance, this.request.imageGuidance);
  }

  /** Inputs of `encode_hint`; null without ControlNets. */
  hints(): Map<string, Tensor> | null {
    return hintImages(this.settings, this.request);
  }

  /** What `denoise` takes of the outputs of `encode_hint`. */
  ofHints(features: FloatTensor): FloatTensors {
    return ofHints(features, hintScales(this.request));
  }

  /** What `denoise` takes of adapters at every step. */
  ofAdapters(): FloatTensors {
    return ofAdapters(this.settings, this.request);
  }

  /** Inputs of `encode_image` for the picture that the drawing begins with or keeps; null without. */
  clean(): Map<string, Tensor> | null {
    return cleanPicture(this.settings, this.request, this.settings.schedule.steps - this.rows.length);
  }

  /** The noise of the seed, or clean latents with so much of it as the first step expects; and an empty memory. */
  firstState(clean: FloatTensor | null): LatentState {
    const whole = this.rows.length === this.settings.schedule.steps;
    const fromNoise = clean === null || (this.request.mask && whole); // with a mask, as diffusers' inpainting
    return { latents: fromNoise ? this.firstNoise : this.noised(clean, this.rows[0]), memory: this.noMemory };
  }

  /** The state after a step from 0, with the picture put back where a mask keeps it. */
  kept(state: LatentState, clean: FloatTensor | null, step: number): LatentState {
    if (!this.request.mask || clean === null || this.settings.task !== "draw") return state;
    const mask = this.mask.values;
    const picture = this.noised(clean, this.rows[step + 1]).values;
    const values = state.latents.values.map((each, place) => {
      const anew = mask[place % mask.length]!;
      return Math.fround(anew * each) + Math.fround((1 - anew) * picture[place]!);
    });
    return { latents: floats(values, clean.shape), memory: state.memory };
  }

  /** Clean latents at the noise level before a row of the table; after the last, they stay clean. */
  noised(clean: FloatTensor, row: number | undefined): FloatTensor {
    if (row === undefined) return clean;
    const { alphas, sigmas } = this.settings.schedule;
    const [alpha, sigma] = [Math.fround(alphas[row]!), Math.fround(sigmas[row]!)];
    const noise = this.firstNoise.values;
    const values = noise.map((each, place) => Math.fround(alpha * clean.values[place]!) + Math.fround(sigma * each));
    return floats(values, clean.shape);
  }

  /** Inputs of `denoise` at a row of the table, without guidance where that is a choice of the step. */
  step(contexts: FloatTensors, state: LatentState, row: number): Map<string, Tensor> {
    const { schedule } = this.settings;
    const inputs = new Map<string, Tensor>(contexts);
    if (schedule.shares.length > 0) {
      for (const name of [...inputs.keys()].filter((each) => each.startsWith(NULL))) inputs.delete(name);
      addGuidance(inputs, this.noOutput, 1);
    } else if (this.guidance !== null) {
      inputs.set("guidance", floats(new Float32Array([this.guidance]), [1]));
    }
    inputs.set("latents", state.latents);
    inputs.set("step", integers(new Int32Array([row]), [1]));
    if (schedule.memory > 0) inputs.set("memory", state.memory);
    if (schedule.stochastic) inputs.set("noise", this.noise(row + 1));
    return inputs;
  }

  /** Inputs of the call before, for the null text, at a step that takes two; null at any other. */
  nullStep(contexts: FloatTensors, inputs: Tensors, row: number): Map<string, Tensor> | null {
    if (this.scale(row) <= 1) return null;
    const nulls = [...contexts].filter(([name]) => name.startsWith(NULL));
    return new Map<string, Tensor>([...inputs, ...nulls.map(([name, each]) => [name.slice(NULL.length), each] as const)]);
  }

  /** Inputs of `denoise` at a step, led away from what the call before gave. */
  guided(inputs: Tensors, nullOutputs: FloatTensors, row: number): Map<string, Tensor> {
    const led = new Map(inputs);
    addGuidance(led, nullOutputs.get("output")!, this.scale(row));
    return led;
  }

  /** The state that `denoise` gives. */
  next(outputs: FloatTensors): LatentState {
    const memory = this.settings.schedule.memory > 0 ? outputs.get("memory")! : this.noMemory;
    return { latents: outputs.get("latents")!, memory };
  }

  /** The scale of a step whose guidance is a choice of its own; else 1. */
  private scale(row: number): number {
    const share = this.settings.schedule.shares[row];
    return share === undefined ? 1 : 1 + share * ((this.guidance ?? 1) - 1);
  }

  private get firstNoise(): FloatTensor {
    this.drawnNoise ??= this.noise(0);
    return this.drawnNoise;
  }

  private noise(tensor: number): FloatTensor {
    const { shape } = this.settings.latents;
    return floats(gaussian(this.request.seed ?? 0n, countOf(shape), tensor), shape);
  }
}

function addGuidance(inputs: Map<string, Tensor>, nullOutput: FloatTensor, scale: number): void {
  inputs.set("null_output", nullOutput);
  inputs.set("guidance", floats(new Float32Array([scale]), [1]));
}

/** The rows of a drawing that makes a share of its steps; throws `PromptError` for a share without steps. */
function checkedRows(settings: DrawSettings, strength: number): readonly number[] {
  if (!(strength > 0 && strength <= 1)) {
    throw new PromptError(`strength: expected a number above 0 and up to 1, got ${plain(strength)}`);
  }
  const steps = settings.schedule.starts.length || settings.schedule.alphas.length;
  const made = Math.min(Math.trunc(steps * strength), steps);
  if (made > 0) return rowsAfter(settings.schedule, steps - made);
  throw new PromptError(`strength: expected 1/${steps} or more for ${steps} steps, got ${plain(strength)}`);
}

/** The scale that `denoise` takes as float32, or null when it takes none; throws `PromptError`. */
function checkedGuidance({ schedule }: DrawSettings, request: DrawRequest): number | null {
  const scale = request.guidance ?? schedule.guidance;
  if (!Number.isFinite(scale) || scale > MAX_GUIDANCE) {
    throw new PromptError(`guidance: expected a number up to ${MAX_GUIDANCE}, got ${plain(scale)}`);
  }
  if (schedule.guidanceKind === "cfg") return Math.fround(scale);
  if (schedule.guidanceKind === "none") {
    if (scale <= 1) return null;
    throw new PromptError(
      `guidance: expected 1 or less, as this model was exported without guidance, got ${plain(scale)}; ` +
        `export it with --guidance ${plain(scale)}`,
    );
  }
  if (request.negative) throw new PromptError("negative prompt: expected none, as guidance is in this model's weights");
  if (scale === schedule.guidance) return null;
  const expected = plain(schedule.guidance);
  throw new PromptError(`guidance: expected ${expected}, which it was distilled with, got ${plain(scale)}`);
}

/** A warning in one line for a negative prompt that has no effect with this bundle, or null. */
export function unusedNegative({ schedule }: DrawSettings, request: DrawRequest): string | null {
  const scale = request.guidance ?? schedule.guidance;
  if (!request.negative || scale > 1 || schedule.guidanceKind === "distilled") return null;
  return `negative prompt: it has no effect at guidance ${plain(scale)}; use a guidance above 1`;
}
