// SHA-256 (FIPS 180-4), a chunk at a time. The browser's own crypto.subtle needs a secure address, which the address of a
// computer in a home is not, and takes only whole files.

const BLOCK = 64;
const K = constants(64, Math.cbrt);
const INITIAL = constants(8, Math.sqrt);

/** The first 32 bits of the fractions of the roots of the first primes. */
function constants(count: number, root: (prime: number) => number): Uint32Array {
  const found: number[] = [];
  for (let number = 2; found.length < count; number++) {
    if (isPrime(number)) found.push((root(number) % 1) * 2 ** 32);
  }
  return Uint32Array.from(found);
}

function isPrime(number: number): boolean {
  for (let factor = 2; factor * factor <= number; factor++) if (number % factor === 0) return false;
  return true;
}

const rotated = (word: number, bits: number): number => (word >>> bits) | (word << (32 - bits));

/** Hashes bytes that come in pieces. */
export class Sha256 {
  private readonly state = INITIAL.slice();
  private readonly words = new Uint32Array(BLOCK);
  private readonly rest = new Uint8Array(BLOCK);
  private filled = 0;
  private length = 0;

  update(bytes: Uint8Array): this {
    this.length += bytes.length;
    let place = 0;
    while (place < bytes.length) {
      const taken = Math.min(BLOCK - this.filled, bytes.length - place);
      this.rest.set(bytes.subarray(place, place + taken), this.filled);
      this.filled += taken;
      place += taken;
      if (this.filled < BLOCK) break;
      this.compress();
      this.filled = 0;
    }
    return this;
  }

  /** In lower-case hexadecimal; nothing can be added afterwards. */
  digest(): string {
    const bits = this.length * 8;
    const padding = new Uint8Array(((this.filled < 56 ? 56 : 120) - this.filled) + 8);
    padding[0] = 0x80;
    const view = new DataView(padding.buffer);
    view.setUint32(padding.length - 8, Math.floor(bits / 2 ** 32));
    view.setUint32(padding.length - 4, bits >>> 0);
    this.update(padding);
    return [...this.state].map((word) => word.toString(16).padStart(8, "0")).join("");
  }

  private compress(): void {
    const { words, state } = this;
    const view = new DataView(this.rest.buffer);
    for (let place = 0; place < 16; place++) words[place] = view.getUint32(4 * place);
    for (let place = 16; place < 64; place++) {
      const [early, late] = [words[place - 15]!, words[place - 2]!];
      const first = rotated(early, 7) ^ rotated(early, 18) ^ (early >>> 3);
      const second = rotated(late, 17) ^ rotated(late, 19) ^ (late >>> 10);
      words[place] = (words[place - 16]! + first + words[place - 7]! + second) | 0;
    }
    let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number];
    for (let place = 0; place < 64; place++) {
      const sum1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
      const first = (h + sum1 + ((e & f) ^ (~e & g)) + K[place]! + words[place]!) | 0;
      const sum0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
      const second = (sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + first) | 0;
      d = c;
      c = b;
      b = a;
      a = (first + second) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((word, place) => (state[place] = (state[place]! + word) | 0));
  }
}

/** SHA-256 of bytes in lower-case hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return new Sha256().update(bytes).digest();
}
