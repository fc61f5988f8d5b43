// Paints the mask over the picture that a drawing begins with.

import { MaskGrid, type Point } from "./mask-grid.js";

export class MaskPainter {
  private grid: MaskGrid | null = null;
  private last: Point | null = null;

  /** `canvas` lies over the picture; `onPaint` is called when the mask has changed. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly onPaint: () => void,
  ) {
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.paint(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.last !== null) this.paint(event);
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (this.last = null));
  }

  /** Begins without a mask, for latents of this size; null where there is nothing to paint on. */
  begin(grid: MaskGrid | null): void {
    this.grid = grid;
    this.last = null;
    this.canvas.hidden = grid === null;
    this.show();
  }

  clear(): void {
    this.grid?.clear();
    this.show();
  }

  get painted(): boolean {
    return this.grid?.painted ?? false;
  }

  /** A byte for each pixel; null when nothing is painted. */
  pixels(width: number, height: number): Uint8Array | null {
    return this.grid?.pixels(width, height) ?? null;
  }

  private paint({ clientX, clientY }: PointerEvent): void {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const point = { x: (clientX - left) / width, y: (clientY - top) / height };
    this.grid?.paint(this.last ?? point, point);
    this.last = point;
    this.show();
  }

  private show(): void {
    const { width, height, cells } = this.grid ?? new MaskGrid(1, 1);
    this.canvas.width = width;
    this.canvas.height = height;
    const context = this.canvas.getContext("2d")!;
    context.fillStyle = getComputedStyle(this.canvas).color;
    cells.forEach((each, place) => {
      if (each !== 0) context.fillRect(place % width, Math.floor(place / width), 1, 1);
    });
    this.onPaint();
  }
}
