"""Writes the table of docs/threat-model.md from benchmarks/results/fuzz.json.

python -m benchmarks.documents.fuzz
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.documents.markers import fill_page, read, table
from benchmarks.fuzz.run import RESULT
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import ROOT

PAGE = ROOT / "docs" / "threat-model.md"
ENDS = ("read", "refused", "failed")


def cases(rows: Sequence[Mapping[str, Any]]) -> str:
    """Target x how its cases ended, and the sum."""
    lines = [[row["target"], *(f"{row.get(end, 0):,}" for end in ENDS)] for row in rows]
    sums = ["**all**", *(f"{sum(row.get(end, 0) for row in rows):,}" for end in ENDS)]
    return table(["what is read", "read all the same", "refused in one line", "failed"], [*lines, sums])


def main() -> None:
    """Write it."""
    fill_page(PAGE, {"fuzz": cases(read(RESULT)["rows"])})


if __name__ == "__main__":
    run_script(main, __doc__)
