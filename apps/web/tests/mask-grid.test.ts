// What the page paints: the same places as the apps, and lines without gaps.

import { test } from "node:test";
import { MaskGrid } from "../page/mask-grid.js";
import { assert } from "./checks.js";

/** Rows of a grid, painted places as #. */
function rows({ cells, width }: MaskGrid): string[] {
  const text = [...cells].map((each) => (each === 1 ? "#" : ".")).join("");
  return Array.from({ length: cells.length / width }, (_, row) => text.slice(row * width, (row + 1) * width));
}

test("a point paints what is less than a tenth of the width away, in a picture that is wider than high", () => {
  const grid = new MaskGrid(10, 5);
  grid.paint({ x: 0.25, y: 0.5 });
  assert.deepEqual(rows(grid), ["..........", "..#.......", ".###......", "..#.......", ".........."]);
  grid.clear();
  assert.equal(grid.painted, false);
});

test("a line has no gaps, however far its ends are apart", () => {
  const grid = new MaskGrid(20, 20);
  grid.paint({ x: 0.1, y: 0.5 }, { x: 0.9, y: 0.5 });
  for (let column = 2; column < 18; column++) assert.equal(grid.cells[10 * 20 + column], 1, `column ${column}`);
  assert.equal(rows(grid)[7], ".".repeat(20));
});

test("pixels are those of the place that they are in, and none without painting", () => {
  const grid = new MaskGrid(2, 1);
  assert.equal(grid.pixels(4, 2), null);
  grid.cells[1] = 1;
  assert.deepEqual([...grid.pixels(4, 2)!], [0, 0, 1, 1, 0, 0, 1, 1]);
});
