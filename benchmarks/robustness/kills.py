"""Kills commands: in front of every call that makes, renames, removes or flushes a file, and at random moments.

In front of a call, the disk is what a kill there leaves. So for an export, which takes long, the output's folder is
copied in front of every call of one run, and every copy is examined; kills at random moments are real ones.  A command
that resumes is quick, and is really killed in front of every call too.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.robustness.commands import Command, hidden, state
from benchmarks.robustness.forked import Ended, run, start

ROUND = 5
"""Random kills between two runs that come to their end."""


@dataclass
class Row:
    """What one kind of disturbance did to one command."""

    command: str
    disturbance: str
    cases: int = 0
    """Kills, failing calls, pairs or environments."""
    whole: int = 0
    """Of these, how many left a whole output, the former one or the new one."""
    unfinished: int = 0
    """How many left none, or one that the next run completes."""
    failures: list[str] = field(default_factory=list)
    """What was wrong, one line each; must be empty."""

    def count(self, command: Command, place: Path, digest: str) -> None:
        """Add a case by what is in a place: a whole output; of a command that resumes, also what is not finished."""
        found = state(command, place)
        self.cases += 1
        self.whole += found == digest
        self.unfinished += found != digest
        half = found.startswith("half") if command.resumes else found != digest
        self.demand(not half, found or "no output")

    def demand(self, right: bool, what: str) -> None:
        """Note what is wrong unless it is right."""
        if not right:
            self.failures.append(f"case {self.cases}: {what}")


def reference(command: Command, work: Path) -> tuple[Path, str, Ended]:
    """A place in which the command came to its end undisturbed, its digest, and how it ended."""
    place, log = work / "reference", work / "log"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    ended = run(command.words(place), log, command.prepare)
    digest = state(command, place)
    if ended.status or not digest or digest.startswith("half"):
        raise RuntimeError(f"{command.name}: status {ended.status}, {digest!r}: {ended.stderr[-500:]}")
    return place, digest, ended


def at_every_call(command: Command, work: Path) -> Row:
    """A kill in front of every call."""
    return _really_at_every_call(command, work) if command.resumes else _copied_at_every_call(command, work)


def _copied_at_every_call(command: Command, work: Path) -> Row:
    row = Row(command.name, "killed at every call that names or flushes a file")
    place, digest, _ = reference(command, work)
    copies = empty(work / "copies")
    under = {"UNDER": str(place), "CALLS": "names", "HOW": str(copies)}
    row.demand(run(command.words(place), work / "log", command.prepare, **under).status == 0, "it failed undisturbed")
    for copy in sorted(copies.iterdir(), key=lambda each: int(each.name)):
        row.count(command, copy, digest)
        command.sweep(copy)
        row.demand(state(command, copy) == digest and hidden(copy) == [], f"the next run leaves {hidden(copy)}")
        shutil.rmtree(copy)
    return row


def _really_at_every_call(command: Command, work: Path) -> Row:
    row = Row(command.name, "killed at every call that names or flushes a file")
    _, digest, _ = reference(command, work)
    finished = False
    while not finished:
        place = empty(work / "place")
        under = {"UNDER": str(place), "CALLS": "names", "HOW": "kill", "AT": str(row.cases + 1)}
        finished = run(command.words(place), work / "log", command.prepare, **under).status == 0
        _examine(row, command, place, digest, work)
    return row


def at_random_moments(command: Command, work: Path, kills: int, seed: int) -> Row:
    """So many kills at random moments; after some of them a run comes to its end in the same place."""
    row = Row(command.name, "killed at random moments")
    whole, digest, ended = reference(command, work)
    place = former(command, whole, work)
    for number, moment in enumerate(_moments(kills, seed, ended.seconds), start=1):
        killed = start(command.words(place), work / "log", command.prepare).wait(moment)
        row.demand(killed.problem() == "", killed.problem())
        last = number % ROUND == 0 or number == kills
        if command.resumes:
            _examine(row, command, place, digest, work, last)
            if state(command, place):  # it has finished: begin anew
                place = empty(work / "place")
        else:
            row.count(command, place, digest)
            row.demand(len(hidden_roots(place)) <= 1, f"leftovers add up: {hidden_roots(place)}")
            if last:
                command.sweep(place)
                row.demand(hidden(place) == [], f"the next run leaves {hidden(place)}")
    return row


def hidden_roots(place: Path) -> list[str]:
    """Hidden files and folders in the place itself."""
    return sorted(path.name for path in place.glob(".*"))


def _examine(row: Row, command: Command, place: Path, digest: str, work: Path, again: bool = True) -> None:
    """Count what a killed run left, which has no finished output or a whole one; let the next run finish."""
    row.count(command, place, digest)
    if again:
        ended = run(command.words(place), work / "log", command.prepare)
        row.demand(ended.status == 0 and not ended.problem(), f"the next run: {ended.status}, {ended.stderr[-200:]}")
        row.demand(state(command, place) == digest, "the next run ends otherwise than one that was never killed")
        row.demand(hidden(place) == [], f"the next run leaves {hidden(place)}")


def _moments(kills: int, seed: int, longest: float) -> Iterator[float]:
    generator = random.Random(seed)
    for _ in range(kills):
        yield generator.uniform(0.0, longest)


def former(command: Command, whole: Path, work: Path) -> Path:
    """Where a killed command starts: beside a former output, or on nothing if it resumes."""
    place = empty(work / "place")
    if not command.resumes:
        shutil.copytree(whole, place, dirs_exist_ok=True)
    return place


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
