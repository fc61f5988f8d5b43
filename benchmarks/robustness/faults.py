"""Lets calls that write fail, as on a disk that is full, broken or read-only: the chosen call, and every later one.

The former output must be kept, nothing half-written may stay, and the command says one line.
"""

from __future__ import annotations

import errno
import random
import re
from collections import defaultdict
from pathlib import Path

from benchmarks.robustness.commands import Command, hidden, state
from benchmarks.robustness.forked import run
from benchmarks.robustness.kills import Row, former, reference

ERRORS = {"disk full": errno.ENOSPC, "disk read-only": errno.EROFS, "disk broken": errno.EIO}


def failing_calls(command: Command, work: Path, name: str, cases: int, seed: int) -> Row:
    """Let calls fail with one of ERRORS: the first on every file, and others at random, `cases` in all."""
    row = Row(command.name, f"{name}, from a call on")
    whole, digest, _ = reference(command, work)
    log = work / "calls"
    log.unlink(missing_ok=True)
    place = former(command, whole, work)
    run(command.words(place), work / "log", command.prepare, UNDER=str(place), CALLS="writes", LOG=str(log))
    for number in _chosen(log.read_text(encoding="utf-8").splitlines(), cases, seed):
        place = former(command, whole, work)
        under = {"UNDER": str(place), "CALLS": "writes", "HOW": str(ERRORS[name]), "AT": str(number)}
        ended = run(command.words(place), work / "log", command.prepare, **under)
        row.count(command, place, digest)
        row.demand(not ended.problem(), f"call {number}: {ended.problem()}")
        row.demand(ended.status != 0 or state(command, place) == digest, f"call {number}: success without an output")
        if ERRORS[name] != errno.EROFS:  # where nothing can be removed, the next run does it
            row.demand(hidden(place) == [], f"call {number}: {hidden(place)} stay")
    return row


def _chosen(calls: list[str], cases: int, seed: int) -> list[int]:
    """Numbers of calls, from 1: the first of each kind on each file, and others, at most `cases`."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for number, call in enumerate(calls, start=1):
        kinds[re.sub(r"-[0-9a-f]{8}\b", "", call)].append(number)
    generator = random.Random(seed)
    first = [numbers[0] for numbers in kinds.values()]
    others = sorted(set(range(1, len(calls) + 1)) - set(first))
    generator.shuffle(first)
    generator.shuffle(others)
    return sorted([*first, *others][:cases])
