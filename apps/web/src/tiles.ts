// Big pictures by overlapping tiles, so that neither decoder nor encoder holds a whole one (mobile_diffusion/tiles.py).

import type { DrawSettings } from "./draw-settings.js";
import { countOf, type TensorSpec } from "./manifest.js";
import { type FloatTensor, floats } from "./tensor.js";

/** Height and width in latents. */
export type Tile = readonly [number, number];

/** Runs a stage of the autoencoder: its one input to its one output. */
type Run = (tensor: FloatTensor) => Promise<FloatTensor>;

/** Neighbours share at least this part of a tile: a quarter. */
const OVERLAP = 4;

/** Where the tiles along a side begin: the fewest that share a quarter with their neighbours, evenly, rounded down. */
export function tileStarts(whole: number, tile: number): number[] {
  const gaps = Math.ceil((whole - tile) / (tile - Math.floor(tile / OVERLAP)));
  return Array.from({ length: gaps + 1 }, (_, number) => (gaps === 0 ? 0 : Math.floor((number * (whole - tile)) / gaps)));
}

/** Latents (1, C, h, w) to an image (1, 3, H, W), whole or by tiles. */
export async function decodePicture(run: Run, settings: DrawSettings, latents: FloatTensor): Promise<FloatTensor> {
  return inTiles(run, settings, latents, 1, settings.image, factorOf(settings));
}

/** An image (1, 3, H, W) to latents (1, C, h, w), whole or by tiles. */
export async function encodePicture(run: Run, settings: DrawSettings, image: FloatTensor): Promise<FloatTensor> {
  return inTiles(run, settings, image, factorOf(settings), settings.latents, 1);
}

/** Pixels per latent, along one side. */
function factorOf({ image, latents }: DrawSettings): number {
  return image.shape[2]! / latents.shape[2]!;
}

/** Runs a stage on tiles of a tensor whose sides are `from` times the latents', and joins outputs of `to` times theirs. */
async function inTiles(
  run: Run,
  settings: DrawSettings,
  tensor: FloatTensor,
  from: number,
  { shape }: TensorSpec,
  to: number,
): Promise<FloatTensor> {
  if (settings.tile === null) return run(tensor);
  const [height, width] = settings.tile;
  const [, channels = 0, , whole = 0] = shape;
  const picture = new Canvas(shape, 2);
  for (const row of tileStarts(settings.latents.shape[2]!, height)) {
    const strip = new Canvas([1, channels, height * to, whole], 3);
    for (const column of tileStarts(settings.latents.shape[3]!, width)) {
      const made = await run(crop(tensor, [row * from, column * from], [height * from, width * from]));
      strip.paint(floats(made.values, [1, channels, height * to, width * to]), column * to);
    }
    picture.paint(strip.tensor, row * to);
  }
  return picture.tensor;
}

/** A part (1, C, height, width) of a tensor. */
function crop({ values, shape }: FloatTensor, [top, left]: Tile, [height, width]: Tile): FloatTensor {
  const [, channels = 0, rows = 0, columns = 0] = shape;
  const part = new Float32Array(channels * height * width);
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < height; row++) {
      const first = (channel * rows + top + row) * columns + left;
      part.set(values.subarray(first, first + width), (channel * height + row) * width);
    }
  }
  return floats(part, [1, channels, height, width]);
}

/** What parts are painted on, one after the other along an axis; each fades in over what is painted already. */
class Canvas {
  readonly tensor: FloatTensor;
  private painted = 0;

  constructor(
    shape: readonly number[],
    private readonly axis: 2 | 3,
  ) {
    this.tensor = floats(new Float32Array(countOf(shape)), shape);
  }

  /** Position i of n that are painted already has i / n of the part; every operation is rounded to float32. */
  paint(part: FloatTensor, start: number): void {
    const [, channels = 0, height = 0, width = 0] = part.shape;
    const [, , rows = 0, columns = 0] = this.tensor.shape;
    const { values } = this.tensor;
    const shared = this.painted - start;
    const [down, right] = this.axis === 2 ? [start, 0] : [0, start];
    for (let channel = 0; channel < channels; channel++) {
      for (let row = 0; row < height; row++) {
        for (let column = 0; column < width; column++) {
          const over = part.values[(channel * height + row) * width + column]!;
          const place = (channel * rows + down + row) * columns + right + column;
          const along = this.axis === 2 ? row : column;
          values[place] = along < shared ? faded(values[place]!, over, Math.fround(along / shared)) : over;
        }
      }
    }
    this.painted = start + part.shape[this.axis]!;
  }
}

function faded(under: number, over: number, weight: number): number {
  return Math.fround(under * Math.fround(1 - weight)) + Math.fround(over * weight);
}
