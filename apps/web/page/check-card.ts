// The card that compares this browser with PyTorch.

import { element } from "./elements.js";
import type { GoldenResult } from "./messages.js";
import { CheckTable } from "./tables.js";

export class CheckCard {
  private readonly verdict = element("verdict");
  private table = new CheckTable(element("check-rows"));

  begin(): void {
    this.table = new CheckTable(element("check-rows"));
  }

  add(result: GoldenResult): void {
    this.table.add(result);
    element("checks").hidden = this.verdict.hidden = false;
    this.verdict.className = "verdict";
    this.verdict.textContent = `${this.table.count} comparisons …`;
  }

  end(): void {
    const { count, failed } = this.table;
    this.verdict.className = `verdict ${failed === 0 ? "good" : "bad"}`;
    this.verdict.textContent = failed === 0 ? `${count} comparisons passed` : `${failed} of ${count} failed`;
  }
}
