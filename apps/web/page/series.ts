// Several pictures of one request: the seeds that follow each other, and the pictures that are there.

import { PromptError } from "../src/errors.js";
import { MAX_SEED } from "../src/numbers.js";
import type { Picture } from "../src/picture.js";
import type { DrawRequest } from "../src/request.js";
import { quote } from "../src/text.js";
import { showPicture } from "./pixels.js";

/** Pictures that are drawn one after the other at most. */
export const MOST_PICTURES = 16;

/** A request for each picture; throws `PromptError` for a number that is none, or seeds that end before. */
export function seriesOf(request: DrawRequest, count: string): DrawRequest[] {
  const number = /^[0-9]{1,2}$/.test(count.trim()) ? Number(count) : 0;
  if (number < 1 || number > MOST_PICTURES) {
    throw new PromptError(`batch: expected 1 to ${MOST_PICTURES}, got ${quote(count)}`);
  }
  const first = request.seed ?? 0n;
  if (first + BigInt(number - 1) > MAX_SEED) {
    throw new PromptError(`batch: expected ${number} seeds from ${first} on, got a seed too large; take a smaller one`);
  }
  return Array.from({ length: number }, (_, place) => ({ ...request, seed: first + BigInt(place) }));
}

/** Adds a picture to the row of a series, with its seed as its name. */
export function addPicture(row: HTMLElement, picture: Picture, seed: bigint): void {
  const item = document.createElement("li");
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `seed ${seed}`);
  canvas.title = `seed ${seed}`;
  showPicture(canvas, picture);
  item.append(canvas);
  row.append(item);
}
