import { ModelError } from "./errors.js";
import { countOf } from "./manifest.js";

/** A dense tensor of float32 in C order. */
export interface FloatTensor {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

/** A dense tensor of int32 in C order. */
export interface IntTensor {
  readonly values: Int32Array;
  readonly shape: readonly number[];
}

export type Tensor = FloatTensor | IntTensor;
export type Tensors = ReadonlyMap<string, Tensor>;
export type FloatTensors = ReadonlyMap<string, FloatTensor>;

export function floats(values: Float32Array, shape: readonly number[]): FloatTensor {
  if (values.length !== countOf(shape)) {
    throw new ModelError(`expected ${countOf(shape)} values for the shape ${shape.join(" x ")}, got ${values.length}`);
  }
  return { values, shape };
}

export function integers(values: Int32Array, shape: readonly number[]): IntTensor {
  return { values, shape };
}

/** Throws `ModelError` naming `name` and how many values are NaN or infinite. */
export function checkFinite(name: string, values: Float32Array): void {
  let wrong = 0;
  for (const value of values) if (!Number.isFinite(value)) wrong++;
  if (wrong === 0) return;
  throw new ModelError(
    `${name}: expected finite values, got ${wrong} NaN or infinite of ${values.length}; ` +
      "the weights, or the precision of the artifact, are at fault",
  );
}
