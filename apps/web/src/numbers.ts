// Numbers that a user types, and rounding that is the same in every language.

/** The largest seed. */
export const MAX_SEED = 2n ** 64n - 1n;

/** The seed that a text is, 0 to 18446744073709551615 in the digits 0 to 9; null for any other text. */
export function parseSeed(text: string): bigint | null {
  if (!/^[0-9]{1,40}$/.test(text)) return null;
  const seed = BigInt(text);
  return seed <= MAX_SEED ? seed : null;
}

/** The number that a text is, with a point as decimal separator whatever the locale; null for any other text. */
export function parseDecimal(text: string): number | null {
  return /^-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,4})?$/.test(text) ? Number(text) : null;
}

/** The nearest whole number; the even one of two. */
export function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
