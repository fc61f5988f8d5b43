// The part of a picture that is drawn anew: one value for each place of the latents, as in the apps.

/** The radius of the brush, of a picture whose width is 1. */
const BRUSH = 0.1;

/** A point of the picture, whose sides are 0 to 1. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

export class MaskGrid {
  /** Rows from the top: 1 where the picture is drawn anew, 0 where it is kept. */
  readonly cells: Uint8Array;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.cells = new Uint8Array(width * height);
  }

  get painted(): boolean {
    return this.cells.includes(1);
  }

  /** Paints along a line: a place is drawn anew when its middle is less than the brush away. */
  paint(from: Point, to: Point = from): void {
    const tall = this.height / this.width;
    const [right, down] = [to.x - from.x, (to.y - from.y) * tall];
    const length = right * right + down * down;
    this.cells.forEach((_, place) => {
      const x = ((place % this.width) + 0.5) / this.width - from.x;
      const y = ((Math.floor(place / this.width) + 0.5) / this.height - from.y) * tall;
      const share = length === 0 ? 0 : Math.min(Math.max((x * right + y * down) / length, 0), 1);
      if (Math.hypot(x - share * right, y - share * down) <= BRUSH) this.cells[place] = 1;
    });
  }

  clear(): void {
    this.cells.fill(0);
  }

  /** A byte for each pixel of a picture; null when nothing is painted. */
  pixels(across: number, down: number): Uint8Array | null {
    if (!this.painted) return null;
    return Uint8Array.from({ length: across * down }, (_, place) => {
      const row = Math.floor((Math.floor(place / across) * this.height) / down);
      return this.cells[row * this.width + Math.floor(((place % across) * this.width) / across)]!;
    });
  }
}
