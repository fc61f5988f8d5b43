// Syllables of Hangul: S = (L * 21 + V) * 28 + T (The Unicode Standard, section 3.12).

const SYLLABLES = 0xac00;
const LEADS = 0x1100;
const VOWELS = 0x1161;
const TAILS = 0x11a7;
const LEAD_COUNT = 19;
const VOWEL_COUNT = 21;
const TAIL_COUNT = 28;
const SYLLABLE_COUNT = LEAD_COUNT * VOWEL_COUNT * TAIL_COUNT;

/** The parts of a syllable; null for another character. */
export function decomposeHangul(point: number): number[] | null {
  const index = point - SYLLABLES;
  if (index < 0 || index >= SYLLABLE_COUNT) return null;
  const lead = LEADS + Math.floor(index / (VOWEL_COUNT * TAIL_COUNT));
  const vowel = VOWELS + Math.floor((index % (VOWEL_COUNT * TAIL_COUNT)) / TAIL_COUNT);
  const tail = index % TAIL_COUNT;
  return tail === 0 ? [lead, vowel] : [lead, vowel, TAILS + tail];
}

/** The syllable of a lead and a vowel, or of a syllable without a tail and a tail; null for other characters. */
export function composeHangul(first: number, second: number): number | null {
  const lead = first - LEADS;
  const vowel = second - VOWELS;
  if (lead >= 0 && lead < LEAD_COUNT && vowel >= 0 && vowel < VOWEL_COUNT) {
    return SYLLABLES + (lead * VOWEL_COUNT + vowel) * TAIL_COUNT;
  }
  const index = first - SYLLABLES;
  const open = index >= 0 && index < SYLLABLE_COUNT && index % TAIL_COUNT === 0;
  const tail = second - TAILS;
  return open && tail >= 1 && tail < TAIL_COUNT ? first + tail : null;
}
