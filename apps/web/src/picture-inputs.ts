// What a drawing needs of the picture that it starts from, if any.

import type { DrawSettings } from "./draw-settings.js";
import { PromptError } from "./errors.js";
import { countOf } from "./manifest.js";
import { imageOf } from "./picture.js";
import { type DrawRequest, MAX_GUIDANCE } from "./request.js";
import { type FloatTensor, type FloatTensors, type Tensor, floats } from "./tensor.js";
import { plain } from "./text.js";

/** Share of the steps that a drawing from a picture makes when none is asked for, by a model that does not read it. */
export const DEFAULT_STRENGTH = 0.8;

/** Guidance towards the picture by a model that edits pictures, when none is asked for. */
export const IMAGE_GUIDANCE = 1.5;

/** Painted where a picture is drawn anew. */
const GREY = 0.5;

/** Inputs of `encode_image` for the latents that a drawing begins with or keeps; null when it needs none. */
export function cleanPicture(settings: DrawSettings, request: DrawRequest, skipped: number): Map<string, Tensor> | null {
  const reads = settings.task === "edit" || (settings.task === "inpaint" && skipped === 0);
  return request.image && !reads ? new Map([["image", imageOf(request.image)]]) : null;
}

/** Inputs of `encode_image` for the latents that `denoise` reads at every step; null when it reads none. */
export function readPicture(settings: DrawSettings, request: DrawRequest): Map<string, Tensor> | null {
  if (settings.task === "inpaint") return new Map([["image", painted(settings, request)]]);
  return settings.task === "edit" && request.image ? new Map([["image", imageOf(request.image)]]) : null;
}

/** What `denoise` takes of those latents at every step; `guidance` is the scale towards the prompt, null for none. */
export function ofPicture(
  settings: DrawSettings,
  latents: FloatTensor,
  mask: FloatTensor,
  guidance: number | null,
  imageGuidance: number | null = null,
): FloatTensors {
  if (settings.task === "inpaint") return new Map([["mask", mask], ["masked_latents", latents]]);
  const found = new Map([["image_latents", latents]]);
  if (guidance === null) return found;
  const scale = guidance > 1 ? (imageGuidance ?? IMAGE_GUIDANCE) : 1;
  return found.set("image_guidance", floats(new Float32Array([scale]), [1]));
}

/** A mask of pixels as one of latents (1, 1, h, w): the upper left pixel of each block decides; ones without a mask. */
export function latentMask({ latents, image }: DrawSettings, pixels: Uint8Array | null | undefined): FloatTensor {
  const [rows = 1, columns = 1] = latents.shape.slice(2);
  const [height = 1, width = 1] = image.shape.slice(2);
  const values = new Float32Array(rows * columns).fill(1);
  if (!pixels) return floats(values, [1, 1, rows, columns]);
  const pixel = (place: number): number =>
    Math.floor(place / columns) * (height / rows) * width + (place % columns) * (width / columns);
  return floats(values.map((_, place) => pixels[pixel(place)]!), [1, 1, rows, columns]);
}

/** Throws `PromptError` for a picture that the model cannot start from, or that it lacks. */
export function checkPicture(settings: DrawSettings, request: DrawRequest): void {
  if (request.image) checkSizes(settings, request);
  if (settings.task === "edit") checkEditing(request);
  else if (settings.task === "inpaint" && request.image && !request.mask) {
    throw new PromptError("mask: expected one with the picture, as this model inpaints, got none; give it one");
  } else if (typeof request.imageGuidance === "number") {
    const got = plain(request.imageGuidance);
    throw new PromptError(`image guidance: expected none, as this model edits no pictures, got ${got}`);
  }
}

function checkSizes(settings: DrawSettings, { image, mask }: DrawRequest): void {
  const [height = 0, width = 0] = settings.image.shape.slice(2);
  if (image && (image.width !== width || image.height !== height)) {
    const got = `${image.width} x ${image.height}`;
    throw new PromptError(`picture: expected ${width} x ${height} pixels, got ${got}; resize it`);
  }
  const count = mask?.length ?? width * height;
  if (count !== width * height) throw new PromptError(`mask: expected ${width * height} values, got ${count}`);
}

function checkEditing({ image, mask, strength, imageGuidance }: DrawRequest): void {
  if (!image) throw new PromptError("picture: expected one, as this model edits a picture, got none; give it one");
  if (mask) throw new PromptError("mask: expected none, as this model edits the whole picture, got one; leave it out");
  if (typeof strength === "number" && strength !== 1) {
    const got = plain(strength);
    throw new PromptError(`strength: expected 1, as this model makes every step, got ${got}; leave it out`);
  }
  if (typeof imageGuidance === "number" && !(imageGuidance >= 1 && imageGuidance <= MAX_GUIDANCE)) {
    throw new PromptError(`image guidance: expected a number from 1 to ${MAX_GUIDANCE}, got ${plain(imageGuidance)}`);
  }
}

/** The picture, grey where it is drawn anew: all of it without a picture. */
function painted({ image }: DrawSettings, request: DrawRequest): FloatTensor {
  const { mask } = request;
  if (!request.image || !mask) return floats(new Float32Array(countOf(image.shape)).fill(GREY), image.shape);
  const { values, shape } = imageOf(request.image);
  return floats(values.map((each, place) => (mask[place % mask.length] ? GREY : each)), shape);
}
