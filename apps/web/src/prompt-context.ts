// The context of a reading: the text encoder's output per window, weighted, mixed, and joined along the tokens.

import type { DrawSettings } from "./draw-settings.js";
import { PromptError } from "./errors.js";
import type { PromptWindow, Reading } from "./prompt-windows.js";
import { type FloatTensor, type FloatTensors, floats } from "./tensor.js";
import type { Tokens } from "./tokenizer.js";

/** The outputs of `encode_text` for one window. */
export type EncodeWindow = (tokens: Tokens) => Promise<FloatTensors>;

/** The outputs of `encode_text` for a reading; in double precision within, rounded once. Throws `PromptError`. */
export async function encodeReading(
  reading: Reading,
  { textWidths }: DrawSettings,
  encode: EncodeWindow,
): Promise<FloatTensors> {
  const empty = reading.empty === null ? null : (await encode(reading.empty)).get("context")!.values;
  let outputs: FloatTensors | null = null;
  const contexts: Float64Array[] = [];
  const shape: number[] = [];
  for (const { windows } of reading.versions) {
    const parts: number[][] = [];
    for (const window of windows) {
      const found = await encode(window.tokens);
      outputs ??= found;
      const context = found.get("context")!;
      shape.splice(0, 3, context.shape[0]!, context.shape[1]! * windows.length, context.shape[2]!);
      parts.push([...weighed(context, window, textWidths, empty)]);
    }
    contexts.push(Float64Array.from(parts.flat()));
  }
  return new Map([...outputs!, ["context", floats(mixed(reading, contexts), shape)]]);
}

function mixed(reading: Reading, contexts: readonly Float64Array[]): Float32Array {
  if (reading.versions.length === 1 && isPlain(reading)) return Float32Array.from(contexts[0]!);
  const total = reading.versions.reduce((sum, { share }) => sum + share, 0);
  const values = Float32Array.from(contexts[0]!, (_, place) => {
    return reading.versions.reduce((sum, { share }, number) => sum + share * contexts[number]![place]!, 0) / total;
  });
  if (values.every(Number.isFinite)) return values;
  throw new PromptError("prompt: expected weights that leave a finite text, got weights that do not; change them");
}

function isPlain({ versions }: Reading): boolean {
  return versions.every(({ windows }) => windows.every(({ weights }) => weights.every((each) => each === 1)));
}

/** Vectors (L, D) of a window: led away from the empty prompt's, or multiplied, keeping the mean of each encoder. */
function weighed(
  { values, shape }: FloatTensor,
  { weights }: PromptWindow,
  widths: readonly number[],
  empty: Float32Array | null,
): Float64Array {
  const result = Float64Array.from(values);
  if (empty === null && weights.every((each) => each === 1)) return result;
  const [length, width] = [shape[1]!, shape[2]!];
  let first = 0;
  for (const [encoder, own] of widths.entries()) {
    let [before, after] = [0, 0];
    const each = (action: (place: number, weight: number) => void): void => {
      for (let token = 0; token < length; token++) {
        for (let channel = 0; channel < own; channel++) {
          action(token * width + first + channel, weights[encoder * length + token]!);
        }
      }
    };
    each((place, weight) => {
      const value = values[place]!;
      result[place] = empty === null ? weight * value : empty[place]! + weight * (value - empty[place]!);
      before += value;
      after += weight * value;
    });
    if (empty === null) each((place) => (result[place] = result[place]! * (before / after)));
    first += own;
  }
  return result;
}
