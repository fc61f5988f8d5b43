// Several pictures of one request: how many, and those that are there.

import { PromptError } from "../src/errors.js";
import type { Picture } from "../src/picture.js";
import { quote } from "../src/text.js";
import { showPicture } from "./pixels.js";

/** Pictures that are drawn one after the other at most. */
export const MOST_PICTURES = 16;

/** The number of pictures that is typed; throws `PromptError` for one that is none. */
export function countOf(text: string): number {
  const number = /^[0-9]{1,2}$/.test(text.trim()) ? Number(text) : 0;
  if (number >= 1 && number <= MOST_PICTURES) return number;
  throw new PromptError(`batch: expected 1 to ${MOST_PICTURES}, got ${quote(text)}`);
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
