"""The page of methods says the truth: what it calls working has a command, what it calls planned has none."""

from __future__ import annotations

import re

import pytest

from export.coreml.options import COMPUTE_UNITS
from mobile_diffusion.config import PREDICTIONS, SOLVERS, SPACINGS
from mobile_diffusion.formats.scheduler_classes import CLASSES
from tests.docs.command_line import find, options
from tests.docs.documents import ROOT

PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
WORKS, REST = PAGE.split("## Planned")
PLANNED, NOT_FOR_PHONES = REST.split("## Not for a phone")


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {place for place, line in enumerate(lines) if re.fullmatch(r"[|\s-]+", line)}
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for place, line in enumerate(lines)
        if place not in heads and place + 1 not in heads
    ]


@pytest.mark.parametrize("row", rows(WORKS), ids=lambda row: row[0])
def test_what_works_has_a_command(row: list[str]) -> None:
    words = row[-1].strip("`").split()
    assert words[0] == "mobile-diffusion", row
    command, path, rest = find(words[1:])
    assert path and not hasattr(command, "commands"), row
    assert {word for word in rest if word.startswith("--")} <= options(command), row


@pytest.mark.parametrize("row", [*rows(PLANNED), *rows(NOT_FOR_PHONES)], ids=lambda row: row[0])
def test_what_does_not_work_has_none_and_a_reason(row: list[str]) -> None:
    assert "mobile-diffusion" not in " ".join(row)
    assert len(row) == 2 and row[1]


def test_reasons_are_one_sentence_or_two() -> None:
    assert all(row[1].endswith(".") for row in rows(NOT_FOR_PHONES))


def test_every_solver_and_choice_is_on_the_page() -> None:
    for name in (*SOLVERS, *SPACINGS):
        assert re.search(rf"\b{re.escape(name)}", WORKS), name
    assert all(name in WORKS for name in PREDICTIONS if name != "sample")
    assert "CPU_AND_NE" in WORKS and "CPU_AND_NE" in COMPUTE_UNITS


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("DPM-Solver single step", "DPMSolverSinglestepScheduler"),
        ("SA-Solver", "SASolverScheduler"),
        ("SDE over a Brownian path", "DPMSolverSDEScheduler"),
    ],
)
def test_a_planned_scheduler_is_refused_today(name: str, scheduler: str) -> None:
    assert name in PLANNED
    assert CLASSES[scheduler].lack
