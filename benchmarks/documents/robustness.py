"""Writes the table of docs/robustness.md from benchmarks/results/robustness.json.

python -m benchmarks.documents.robustness
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.documents.markers import fill_page, read, table
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import ROOT
from benchmarks.robustness.run import RESULT

PAGE = ROOT / "docs" / "robustness.md"


def cases(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was done to which command, and how it ended; the last line sums up."""
    figures = ("cases", "whole", "unfinished")
    lines = [
        [row["disturbance"], row["command"], *(f"{row[name]:,}" for name in figures), f"{len(row['failures']):,}"]
        for row in rows
    ]
    sums = [f"{sum(row[name] for row in rows):,}" for name in figures]
    last = ["**all**", "", *sums, f"{sum(len(row['failures']) for row in rows):,}"]
    return table(["disturbance", "command", "cases", "whole output", "none, or resumed", "wrong"], [*lines, last])


def main() -> None:
    """Write it."""
    fill_page(PAGE, {"robustness": cases(read(RESULT)["rows"])})


if __name__ == "__main__":
    run_script(main, __doc__)
