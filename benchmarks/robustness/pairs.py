"""Two of a command at once: to one output, and to two."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.robustness.commands import Command, hidden, state
from benchmarks.robustness.forked import start
from benchmarks.robustness.kills import Row, empty, reference

LATER = 0.3
"""Seconds between the two starts, at most."""


def two_at_once(command: Command, work: Path, same: bool, cases: int) -> Row:
    """Start two, a moment apart: each succeeds or says one line, and every output is whole."""
    row = Row(command.name, "two at once, one output" if same else "two at once, two outputs")
    _, digest, _ = reference(command, work)
    for number in range(cases):
        places = [empty(work / "place"), empty(work / "second")]
        one, other = places[0], places[0] if same else places[1]
        running = [start(command.words(one), work / "log", command.prepare)]
        time.sleep(LATER * number / cases)
        running.append(start(command.words(other), work / "second-log", command.prepare))
        ended = [each.wait() for each in running]
        row.cases += 1
        for place in {one, other}:
            found = state(command, place)
            row.whole += found == digest
            row.demand(found == digest, found or "no output")
            row.demand(hidden(place) == [], f"{hidden(place)} stay")
        for each in ended:
            row.demand(not each.problem(), each.problem())
        successes = sum(each.status == 0 for each in ended)
        row.demand(successes >= (1 if same else 2), f"{successes} of two succeed: {ended[0].stderr[-150:]}")
    return row
