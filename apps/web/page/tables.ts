// The rows of the page's two tables.

import type { GoldenResult } from "../src/golden-check.js";
import type { StageTime } from "../src/pipeline.js";

const titled = (name: string): string => name.replaceAll("_", " ");

function row(cells: readonly string[], last: { text: string; kind: string } | null = null): HTMLTableRowElement {
  const made = document.createElement("tr");
  cells.forEach((text, place) => {
    const cell = made.insertCell();
    cell.textContent = text;
    if (place === 0) cell.className = "name";
  });
  if (last !== null) {
    const cell = made.insertCell();
    cell.textContent = last.text;
    cell.className = last.kind;
  }
  return made;
}

export function timeRows(times: readonly StageTime[]): HTMLTableRowElement[] {
  return times.map(({ stage, calls, loadMs, runMs }) =>
    row([titled(stage), String(calls), loadMs > 0 ? loadMs.toFixed(0) : "–", short(runMs / calls), runMs.toFixed(0)]),
  );
}

/** Milliseconds, with a fraction where it tells something. */
function short(milliseconds: number): string {
  return milliseconds.toFixed(milliseconds < 100 ? 1 : 0);
}

/** The results of every check, as one row each: the least ratio over all prompts and steps. */
export class CheckTable {
  private readonly found = new Map<string, GoldenResult[]>();

  constructor(private readonly body: HTMLElement) {
    body.replaceChildren();
  }

  add(result: GoldenResult): void {
    const results = this.found.get(result.check) ?? [];
    results.push(result);
    this.found.set(result.check, results);
    this.body.replaceChildren(...[...this.found].map(([check, each]) => checkRow(check, each)));
  }

  get failed(): number {
    return [...this.found.values()].flat().filter((each) => !each.passed).length;
  }

  get count(): number {
    return [...this.found.values()].flat().length;
  }
}

function checkRow(check: string, results: readonly GoldenResult[]): HTMLTableRowElement {
  const passed = results.every((each) => each.passed);
  const ratios = results.flatMap((each) => (each.db === null ? [] : [each.db]));
  const least = ratios.length === 0 ? "–" : decibels(Math.min(...ratios));
  const limit = results[0]?.limit;
  const cells = [titled(check), String(results.length), least, limit == null ? "–" : `${limit} dB`];
  return row(cells, passed ? { text: "ok", kind: "ok" } : { text: "failed", kind: "failed" });
}

function decibels(value: number): string {
  return value === Infinity ? "equal" : `${value.toFixed(1)} dB`;
}
