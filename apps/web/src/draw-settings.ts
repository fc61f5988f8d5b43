import { BundleError } from "./errors.js";
import { FIX } from "./fields.js";
import { DRAWING, MANIFEST, type Manifest, type Schedule, type Stage, type TensorSpec, stageOf } from "./manifest.js";
import type { Tile } from "./tiles.js";

/** What has to be known of a bundle to draw with it. */
export interface DrawSettings {
  /** (1, C, h, w). */
  readonly latents: TensorSpec;
  /** (1, 3, H, W). */
  readonly image: TensorSpec;
  /** (1, L), or (1, 2, L) where two tokenizers read the prompt. */
  readonly tokens: TensorSpec;
  /** Windows of a prompt, each encoded by itself. */
  readonly windows: number;
  /** Width of the context per text encoder, in order. */
  readonly textWidths: readonly number[];
  /** Whether the text encoder takes a mask. */
  readonly usesMask: boolean;
  /** What the model does: "inpaint" also reads a mask and the rest of a picture, "edit" changes a picture. */
  readonly task: "draw" | "inpaint" | "edit";
  /** ControlNets, each of which reads a hint. */
  readonly controls: number;
  /** Shape (n, r, P) of the factors of n adapters; empty for a model without them. */
  readonly adapters: readonly number[];
  /** Height and width in latents of the tiles that the autoencoder's stages take; null for whole pictures. */
  readonly tile: Tile | null;
  readonly schedule: Schedule;
  /** What the solver remembers, (1, M * C, h, w). */
  readonly memoryShape: readonly number[];
}

/** What `encode_text` gives, of the prompt and of the null text. */
const TEXTS = ["context", "pooled", "null_context", "null_pooled"];

/** What `denoise` takes of a picture. */
const PICTURES = ["mask", "masked_latents", "image_latents", "image_guidance"];

/** What `denoise` takes of hints. */
const HINTS = ["hint_features", "hint_scales"];

/** What `denoise` takes of adapters. */
const ADAPTERS = ["adapters", "adapter_scales"];

/** What an app can give to each stage. */
const INPUTS: ReadonlyMap<Stage, readonly string[]> = new Map<Stage, readonly string[]>([
  ["encode_text", ["tokens", "mask"]],
  ["denoise", ["latents", "step", ...TEXTS, "null_output", "guidance", "memory", "noise", ...PICTURES, ...HINTS, ...ADAPTERS]],
  ["decode_image", ["latents"]],
]);

/** Throws `BundleError` when the stages do not take latents and give an image, or take something else. */
export function settingsOf(manifest: Manifest): DrawSettings {
  const latents = input(manifest, "denoise", "latents");
  const image = output(manifest, "decode_image", "image");
  const drawn = latents?.shape.length === 4 && image?.shape.length === 4 && image.shape[1] === 3;
  const tokens = input(manifest, "encode_text", "tokens");
  if (!latents || !image || !tokens || !drawn || !takesWhatIsKnown(manifest) || !givesWhatIsRead(manifest)) {
    throw new BundleError(`${MANIFEST}: expected stages that take latents and give an image; ${FIX}`);
  }
  const { schedule } = manifest;
  const memoryShape = latents.shape.map((size, axis) => (axis === 1 ? schedule.memory * size : size));
  const usesMask = input(manifest, "encode_text", "mask") !== undefined;
  const windows = windowsOf(manifest);
  const { textWidths } = manifest;
  const [task, controls] = [taskOf(manifest), input(manifest, "denoise", "hint_scales")?.shape[0] ?? 0];
  const divided = divide(manifest, latents, image);
  const adapters = input(manifest, "denoise", "adapters")?.shape ?? [];
  return { latents, ...divided, tokens, windows, textWidths, usesMask, task, controls, adapters, schedule, memoryShape };
}

/** The whole picture, and the tiles that it is made of; throws `BundleError` unless they fit. */
function divide(manifest: Manifest, { shape: whole }: TensorSpec, image: TensorSpec): { image: TensorSpec; tile: Tile | null } {
  const [decode, encode] = [stageOf(manifest, "decode_image"), stageOf(manifest, "encode_image")];
  const part = input(manifest, "decode_image", "latents")?.shape ?? [];
  const [height = 0, width = 0] = part.slice(2);
  const factor = image.shape[2]! / height;
  const made = [1, 3, factor * height, factor * width];
  const inside = height <= whole[2]! && width <= whole[3]! && Number.isInteger(factor);
  const fits = part.length === 4 && part[1] === whole[1] && same(image.shape, made) && inside;
  const mirrored = !encode || (same(decode?.inputs, encode.outputs) && same(decode?.outputs, encode.inputs));
  if (!fits || !mirrored) {
    const expected = "stages that decode and encode the latents, or tiles of them, of one size";
    throw new BundleError(`${MANIFEST}: expected ${expected}; ${FIX}`);
  }
  const shape = [1, 3, factor * whole[2]!, factor * whole[3]!];
  return { image: { ...image, shape }, tile: same(part, whole) ? null : [height, width] };
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** The input `step` of each call of `denoise`, in order, for a drawing that skips its first steps. */
export function rowsAfter(schedule: Schedule, skipped: number): readonly number[] {
  if (schedule.starts.length > 0) return schedule.starts[skipped] ?? [];
  return schedule.alphas.map((_, row) => row).slice(skipped);
}

function input(manifest: Manifest, stage: Stage, name: string): TensorSpec | undefined {
  return stageOf(manifest, stage)?.inputs.find((each) => each.name === name);
}

function output(manifest: Manifest, stage: Stage, name: string): TensorSpec | undefined {
  return stageOf(manifest, stage)?.outputs.find((each) => each.name === name);
}

/** The windows that the context of `denoise` has; throws `BundleError` unless they fill it. */
function windowsOf(manifest: Manifest): number {
  const [one, all] = [output(manifest, "encode_text", "context"), input(manifest, "denoise", "context")];
  const [length, width] = [one?.shape[1] ?? 0, manifest.textWidths.reduce((sum, each) => sum + each, 0)];
  const windows = (all?.shape[1] ?? 0) / length;
  const fits = Number.isInteger(windows) && one?.shape.at(-1) === width && all?.shape.at(-1) === width;
  if (fits && length === manifest.tokenizer.maxTokens) return windows;
  throw new BundleError(`${MANIFEST}: expected a context of whole windows of the tokenizer's length; ${FIX}`);
}

function taskOf(manifest: Manifest): DrawSettings["task"] {
  if (input(manifest, "denoise", "masked_latents") !== undefined) return "inpaint";
  return input(manifest, "denoise", "image_latents") === undefined ? "draw" : "edit";
}

function takesWhatIsKnown(manifest: Manifest): boolean {
  return DRAWING.every((stage) => {
    const known = INPUTS.get(stage) ?? [];
    return (stageOf(manifest, stage)?.inputs ?? []).every((each) => known.includes(each.name));
  });
}

function givesWhatIsRead(manifest: Manifest): boolean {
  const { memory, shares } = manifest.schedule;
  const remembers = memory === 0 || output(manifest, "denoise", "memory") !== undefined;
  const evaluated = shares.length === 0 || output(manifest, "denoise", "output") !== undefined;
  const context = output(manifest, "encode_text", "context");
  if (taskOf(manifest) !== "draw" && output(manifest, "encode_image", "latents") === undefined) return false;
  const steered = input(manifest, "denoise", "hint_scales") !== undefined;
  if (steered !== (output(manifest, "encode_hint", "hint_features") !== undefined)) return false;
  const [factors, scales] = ADAPTERS.map((name) => input(manifest, "denoise", name)?.shape);
  if ((factors === undefined) !== (scales === undefined) || (factors && (factors.length !== 3 || factors[0] !== scales?.[0]))) return false;
  return context !== undefined && output(manifest, "denoise", "latents") !== undefined && remembers && evaluated;
}
