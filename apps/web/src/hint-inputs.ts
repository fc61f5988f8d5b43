// What the stages take of the hints of a drawing: a picture per ControlNet, with the strength of its effect.

import type { DrawSettings } from "./draw-settings.js";
import { PromptError } from "./errors.js";
import { imageOf } from "./picture.js";
import { type DrawRequest, MAX_HINT_SCALE } from "./request.js";
import { type FloatTensor, type FloatTensors, type Tensor, floats } from "./tensor.js";
import { plain } from "./text.js";

/** Throws `PromptError` unless there is one hint per ControlNet, of the pictures' size, with a scale from 0 to 2. */
export function checkHints({ controls, image }: DrawSettings, { hints = [] }: DrawRequest): void {
  if (hints.length !== controls) {
    const nets = `${controls || "no"} ControlNet${controls === 1 ? "" : "s"}`;
    const fix = controls > 0 ? "give one per ControlNet, in their order" : "leave it out";
    throw new PromptError(`hint: expected ${controls || "none"}, as this model has ${nets}, got ${hints.length || "none"}; ${fix}`);
  }
  const [height = 0, width = 0] = image.shape.slice(2);
  for (const { picture, scale = 1 } of hints) {
    if (picture.width !== width || picture.height !== height) {
      const got = `${picture.width} x ${picture.height}`;
      throw new PromptError(`hint: expected ${width} x ${height} pixels, got ${got}; resize it`);
    }
    if (!(scale >= 0 && scale <= MAX_HINT_SCALE)) {
      throw new PromptError(`hint scale: expected a number from 0 to ${MAX_HINT_SCALE}, got ${plain(scale)}`);
    }
  }
}

/** Inputs of `encode_hint`, (n, 3, H, W); null without hints. */
export function hintImages({ image }: DrawSettings, { hints = [] }: DrawRequest): Map<string, Tensor> | null {
  if (hints.length === 0) return null;
  const values = Float32Array.from(hints.flatMap((each) => [...imageOf(each.picture).values]));
  return new Map([["hints", floats(values, [hints.length, ...image.shape.slice(1)])]]);
}

/** What `denoise` takes of encoded hints (n, C, h, w) at every step. */
export function ofHints(features: FloatTensor, scales: FloatTensor): FloatTensors {
  return new Map([["hint_features", features], ["hint_scales", scales]]);
}

/** The scales of hints, (n,). */
export function hintScales({ hints = [] }: DrawRequest): FloatTensor {
  return floats(Float32Array.from(hints.map((each) => each.scale ?? 1)), [hints.length]);
}
