"""Writes the tables of docs/snapfusion.md from benchmarks/results/snapfusion.json.

    python -m benchmarks.documents.snapfusion

Each marker has the milestones before and after a section; a table of milestones that were not measured stays empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.documents.markers import fill_page, table
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import ROOT
from benchmarks.snapfusion.milestones import RESULT
from export.report.quality import shown
from export.studies.snapfusion.gates import gates
from export.studies.snapfusion.means import mean_kid, mean_recall
from export.studies.snapfusion.milestones import Milestone, Results, read_results
from export.studies.snapfusion.screen import COSTS, conditions_of, costs_of, gate_cells

PAGE = ROOT / "docs" / "snapfusion.md"
COMPARED: dict[str, tuple[str, ...]] = {
    "evolution": ("teacher-50", "slim"),
    "halving": ("slim", "student-16"),
    "guidance": ("student-16", "student-8"),
    "decoder": ("student-8", "phone"),
    "consistency": ("student-8", "consistency"),
    "undistilled": ("teacher-50", "teacher-8", "teacher-8-leading", "student-8"),
}
"""Marker -> the rows beside it."""


def compared(results: Results, names: tuple[str, ...]) -> str:
    """What some milestones cost, and their quality over all prompts."""
    rows = [row for row in results.rows if row.name in names]
    return table(["milestone", *COSTS, "KID x 1000", "R@5, %"], [_cells(results, row) for row in rows]) if rows else ""


def _cells(results: Results, row: Milestone) -> list[str]:
    quality = shown(mean_kid(row), 1000, 0), shown(mean_recall(row), 100, 0)
    return [row.title, *costs_of(results, row), *quality]


def whole(results: Results) -> str:
    """All rows, their quality by set of prompts, and how they were measured."""
    if not results.rows:
        return ""
    sets = [each.name for each in results.rows[0].sets]
    rows = [[row.title, str(row.steps), *_by_set(row, sets)] for row in results.rows]
    quality = table(
        ["milestone", "steps", *(f"{name}: {what}" for name in sets for what in ("KID x 1000", "R@5, %"))], rows
    )
    costs = compared(results, tuple(row.name for row in results.rows))
    note = (
        "GMACs: per evaluation, and of the decoder. MB: all programs in float32. **picture**: text encoder, all steps "
        f"and decoder. KID and R@5 in the first table are over all prompts. {conditions_of(results)}"
    )
    return f"{costs}\n\n{quality}\n\n{note}"


def _by_set(row: Milestone, sets: list[str]) -> list[str]:
    found = [row.find(name) for name in sets]
    return [cell for each in found for cell in (shown(each.kid, 1000, 0), shown(each.recall_5, 100, 0))]


def checked(results: Results) -> str:
    """The figures to reach; nothing before a row is measured."""
    if not results.rows:
        return ""
    head = ["ratio", "prompts", "limit", "measured", "verdict"]
    return table(head, [list(gate_cells(gate)) for gate in gates(results)])


def main(
    results: Annotated[Path, typer.Option(help="JSON to read.")] = RESULT,
    page: Annotated[Path, typer.Option(help="Markdown to fill.")] = PAGE,
) -> None:
    """Write the page anew."""
    found = read_results(results) if results.exists() else Results()
    tables = {marker: compared(found, names) for marker, names in COMPARED.items()}
    fill_page(page, {"stages": whole(found), "gates": checked(found)} | tables)


if __name__ == "__main__":
    run_script(main, __doc__)
