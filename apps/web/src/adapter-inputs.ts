// What `denoise` takes of adapters: LoRAs that a drawing turns on and off (mobile_diffusion/adapters.py).

import type { DrawSettings } from "./draw-settings.js";
import { PromptError } from "./errors.js";
import { countOf } from "./manifest.js";
import { type DrawRequest, MAX_ADAPTER_SCALE } from "./request.js";
import { type FloatTensor, type FloatTensors, floats } from "./tensor.js";
import { plain, quote } from "./text.js";

/** An adapter that was read. */
export interface Adapter {
  readonly name: string;
  /** (r, P). */
  readonly factors: FloatTensor;
}

/** Throws `PromptError` for a scale that is not from -5 to 5, a name twice, and more adapters than there is room for. */
export function checkAdapters({ adapters }: DrawSettings, { adapters: given = [] }: DrawRequest): void {
  const [slots = 0, ...shape] = adapters;
  if (slots === 0 && given.length > 0) {
    throw new PromptError(`adapter: expected none, as this model has none, got ${quote(given[0]!.adapter.name)}`);
  }
  const names = given.map((each) => each.adapter.name);
  for (const { adapter, scale } of given) {
    const { name, factors } = adapter;
    if (!(Math.abs(scale) <= MAX_ADAPTER_SCALE)) {
      const limits = `-${MAX_ADAPTER_SCALE} to ${MAX_ADAPTER_SCALE}`;
      throw new PromptError(`adapter ${name}: expected a scale from ${limits}, got ${plain(scale)}`);
    }
    if (names.filter((each) => each === name).length > 1) {
      throw new PromptError(`adapter: expected each name once, got ${quote(name)} twice`);
    }
    if (factors.shape.join() !== shape.join()) {
      throw new PromptError(`adapter ${name}: expected factors of ${shape.join(" x ")}, got ${factors.shape.join(" x ")}`);
    }
  }
  const on = given.filter((each) => each.scale !== 0).length;
  if (on > slots) throw new PromptError(`adapter: expected up to ${slots} at once, for which there is room, got ${on}`);
}

/** What `denoise` takes at every step: those that are on take the first slots in order, the other slots are zeros. */
export function ofAdapters({ adapters }: DrawSettings, { adapters: given = [] }: DrawRequest): FloatTensors {
  if (adapters.length === 0) return new Map();
  const [factors, scales] = [new Float32Array(countOf(adapters)), new Float32Array(adapters[0]!)];
  for (const [slot, { adapter, scale }] of given.filter((each) => each.scale !== 0).entries()) {
    factors.set(adapter.factors.values, slot * adapter.factors.values.length);
    scales[slot] = scale;
  }
  return new Map([
    ["adapters", floats(factors, adapters)],
    ["adapter_scales", floats(scales, [scales.length])],
  ]);
}
