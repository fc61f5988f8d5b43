import { Fields } from "./fields.js";
import { type Json, JsonNumber, isList, readJson } from "./json.js";
import { roundHalfEven } from "./numbers.js";
import type { Picture } from "./picture.js";
import type { FloatTensor } from "./tensor.js";

/** The file's name in a bundle. */
export const PREVIEW = "preview.json";

/** How latents look: red, green and blue of a pixel are `weights` (3 rows of C) times its latents, plus `bias` (3). */
export class Preview {
  constructor(
    private readonly weights: readonly (readonly number[])[],
    private readonly bias: readonly number[],
  ) {}

  /** Reads the text of a `preview.json`; throws `BundleError` unless it fits latents of `channels`. */
  static read(text: string, channels: number, where = PREVIEW): Preview {
    const fields = new Fields(readJson(text, where), where, "weights", "bias");
    const weights = fields.list("weights").map(numbersOf);
    const bias = fields.numbers("bias");
    const fits = weights.length === 3 && weights.every((each) => each.length === channels);
    if (!fits) fields.refuse("weights", `3 rows of ${channels} numbers`);
    if (bias.length !== 3) fields.refuse("bias", "3 numbers");
    return new Preview(weights, bias);
  }

  /** Latents (1, C, h, w) as a picture of w x h pixels, computed in float64 and rounded half to even. */
  picture(latents: FloatTensor): Picture {
    const [channels = 0, height = 0, width = 0] = latents.shape.slice(1);
    const area = height * width;
    const rgb = new Uint8Array(3 * area);
    for (let pixel = 0; pixel < area; pixel++) {
      for (let color = 0; color < 3; color++) {
        let sum = this.bias[color]!;
        for (let channel = 0; channel < channels; channel++) {
          sum += this.weights[color]![channel]! * latents.values[channel * area + pixel]!;
        }
        rgb[3 * pixel + color] = roundHalfEven(Math.min(Math.max(sum, 0), 1) * 255);
      }
    }
    return { width, height, rgb };
  }
}

/** The numbers of a list of numbers; none of anything else. */
function numbersOf(row: Json): number[] {
  if (!isList(row) || !row.every((each) => each instanceof JsonNumber)) return [];
  return row.map((each) => Number((each as JsonNumber).text));
}
