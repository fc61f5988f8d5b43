"""Kills real commands, fills their disk, runs two at once and in odd environments, and writes down how they ended.

    python -m benchmarks.robustness.run --work /tmp/robustness          # hours of processor time; `make robustness`
    python -m benchmarks.robustness.run --work /tmp/robustness --cases 20 "data fetch" "train decoder"

Commands run on a model of random weights in forks of this process; disturb.c, which needs Linux and gcc, stands between
them and the C library.  Results go to benchmarks/results/robustness.json; anything wrong ends the script with an error.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measuring.command_line import Names, Work, chosen, run_script
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import RESULTS
from benchmarks.robustness.commands import Command, commands
from benchmarks.robustness.environments import in_environments
from benchmarks.robustness.faults import ERRORS, failing_calls
from benchmarks.robustness.kills import Row, at_every_call, at_random_moments, reference
from benchmarks.robustness.library import load_library
from benchmarks.robustness.pairs import two_at_once
from mobile_diffusion.errors import ExportError

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "robustness.json"
Disturb = Callable[[Command, Path], Row]
PAIRS = 40
"""Cases for each pair of commands at once."""


def kinds(cases: int, seed: int) -> dict[str, Disturb]:
    """Every way to disturb a command."""
    return {
        "every-call": at_every_call,
        "random": partial(at_random_moments, kills=cases, seed=seed),
        **{name: partial(failing_calls, name=name, cases=cases, seed=seed) for name in ERRORS},
        "one-output": partial(two_at_once, same=True, cases=max(1, cases // PAIRS)),
        "two-outputs": partial(two_at_once, same=False, cases=max(1, cases // PAIRS)),
    }


def main(
    work: Work,
    names: Names = None,
    kind: Annotated[list[str] | None, typer.Option(help="A kind of disturbance; all by default.")] = None,
    environments: Annotated[
        bool, typer.Option("--environments", help="Run in odd environments, and nothing else.")
    ] = False,
    cases: Annotated[int, typer.Option(min=1, help="Random moments, and failing calls of a kind, per command.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the moments.")] = 0,
    record: Annotated[bool, typer.Option(help="Write the results to benchmarks/results/robustness.json.")] = True,
) -> None:
    """Disturb them, one after another."""
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    load_library(work)
    shutil.rmtree(inputs := work / "inputs", ignore_errors=True)
    inputs.mkdir()
    known, ways = commands(inputs), kinds(cases, seed)
    rows = []
    if environments:
        rows += _environments(names, known["export, onnx"], inputs / "model", work)
        LOGGER.info("%s", json.dumps([asdict(row) for row in rows]))
        if record:
            _record(rows, seed)
    for name in () if environments else chosen(names, known, "command"):
        command = known[name]()
        for way in chosen(kind, ways, "kind of disturbance"):
            rows.append(ways[way](command, work))
            LOGGER.info("%s", json.dumps(asdict(rows[-1])))
            if record:
                _record(rows[-1:], seed)
    if failing := [f"{row.command} {row.disturbance}" for row in rows if row.failures]:
        raise ExportError(f"expected whole outputs and one line of error, got something else of {', '.join(failing)}")


def _environments(names: Names, export: Callable[[], Command], model: Path, work: Path) -> list[Row]:
    """Commands that draw, describe, export and verify, in every environment."""
    bundle = work / "reference" / "out"
    words: dict[str, Callable[[Path], list[str]]] = {
        "--help": lambda place: ["--help"],
        "inspect": lambda place: ["inspect", str(model)],
        "generate": lambda place: [
            "generate",
            "a",
            "--model",
            str(model),
            "-o",
            str(place / "a.png"),
            "--threads",
            "1",
        ],
        "verify": lambda place: ["verify", str(bundle), "--threads", "1"],
        "export": lambda place: export().words(place),
    }
    wanted = chosen(names, words, "command")
    if "verify" in wanted:
        reference(export(), work)
    return [in_environments(name, words[name], work) for name in wanted]


def _record(rows: list[Row], seed: int) -> None:
    """Put rows in the places of earlier ones of their kind."""
    made = {(row.command, row.disturbance) for row in rows}
    found = read_result(RESULT, {"rows": []})["rows"]
    kept = [each for each in found if (each["command"], each["disturbance"]) not in made]
    every = sorted([*kept, *map(asdict, rows)], key=lambda each: (each["disturbance"], each["command"]))
    write_result(RESULT, {"conditions": conditions(1, seed=seed), "rows": every})


if __name__ == "__main__":
    run_script(main, __doc__)
