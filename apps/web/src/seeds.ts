import { PromptError } from "./errors.js";
import { MAX_SEED } from "./numbers.js";

/** So many seeds from the first on; throws `PromptError` for seeds that end before. */
export function seedsFrom(first = 0n, count: number): readonly bigint[] {
  if (first + BigInt(count - 1) <= MAX_SEED) return Array.from({ length: count }, (_, place) => first + BigInt(place));
  throw new PromptError(`seed: expected ${count} seeds from it on, got ${first}; take a smaller one`);
}
