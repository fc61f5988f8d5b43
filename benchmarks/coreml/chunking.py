"""A full-size package cut into parts: time, memory, sizes, and whether the parts compute the same as the whole.

    python -m benchmarks.coreml.chunking --work /tmp/sd15               # cut at 900, 500 and 250 MB
    python -m benchmarks.coreml.chunking --work /tmp/sd15 --run         # and run the whole and the first cut

The U-Net of Stable Diffusion 1.5 at 512 pixels with random weights, lowered by us into `--work` if it is not there
(benchmarks/checkpoints/full_size_stages.py).  Every figure comes from its own process: seconds are of cutting and
writing alone, without imports, and the same on all cores, waiting left out; the peak is of the whole process, mapped
files included. With `--run` the interpreter runs the whole and the first cut with the same seeded inputs, and every
output is compared bit by bit.  Results go to benchmarks/results/chunking.json, a row for each limit; what a run does
not measure stays.
"""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.checkpoints.full_size_stages import Clock, arrays_of, ours
from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.peak_memory import measure_call
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import RESULTS
from export.coreml.chunks import split_package
from export.coreml.interpret import Program

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "chunking.json"
STAGE = "denoise"
LIMITS_MB = (900, 500, 250)
MEGA, GIGA = 1e6, 1e9


@dataclass(frozen=True)
class Row:
    """One limit."""

    limit_mb: int
    seconds: float
    cpu_seconds: float
    """The same on all cores, waiting left out: what a busy machine does not change."""
    peak_gb: float
    private_gb: float
    """Resident and in no file."""
    parts: list[dict[str, float]]
    crossing_mb: list[float]
    """Bytes that cross each joint in a call, in millions."""
    run_peak_gb: float | None = None
    """While the interpreter ran the parts."""
    equal: bool | None = None
    """Whether the parts gave the outputs of the whole."""


def cut(source: Path, limit_mb: int, out: Path) -> dict[str, Any]:
    """Cut a package; its parts."""
    clock = Clock()
    found = split_package(source, int(limit_mb * MEGA), out)
    taken = {name: round(value, 1) for name, value in clock.read().items()}
    parts = [
        {"operations": part.operations, "weights_mb": round(part.weight_bytes / MEGA, 1), "inputs": len(part.inputs)}
        for part in found.chunks
    ]
    return taken | {"parts": parts, "crossing_mb": [round(size / MEGA, 2) for size in found.crossing_bytes]}


def run(package: Path) -> dict[str, np.ndarray]:
    """The outputs of a package for seeded inputs."""
    program = Program.open(package)
    return program.run(**arrays_of(program))


def measured(source: Path, limit_mb: int, whole: dict[str, np.ndarray] | None) -> Row:
    """One limit."""
    out = source.with_name(f"{STAGE}-{limit_mb}.mlpackage")
    shutil.rmtree(out, ignore_errors=True)
    taken = measure_call(cut, source, limit_mb, out)
    peaks = {"peak_gb": round(taken.peak_bytes / GIGA, 2), "private_gb": round(taken.private_bytes / GIGA, 2)}
    row = Row(limit_mb=limit_mb, **peaks, **taken.result)
    if whole is not None:
        got = measure_call(run, out)
        equal = all(np.array_equal(value, got.result[name]) for name, value in whole.items())
        row = replace(row, run_peak_gb=round(got.peak_bytes / GIGA, 2), equal=equal)
    shutil.rmtree(out)
    LOGGER.info(json.dumps(asdict(row)))
    return row


def with_earlier(row: Row) -> Row:
    """The row, with what an earlier run found of the same limit and this one did not measure."""
    earlier = read_result(RESULT, {"rows": []})["rows"]
    for known in earlier:
        if known["limit_mb"] == row.limit_mb and row.equal is None:
            return replace(row, run_peak_gb=known.get("run_peak_gb"), equal=known.get("equal"))
    return row


def main(
    work: Annotated[Path, typer.Option(help="Folder of the package, 4 GB.")],
    limit: Annotated[list[int] | None, typer.Option(help="Megabytes; may be repeated.")] = None,
    compare: Annotated[bool, typer.Option("--run", help="Run the whole and the first cut, and compare.")] = False,
) -> None:
    """Cut at every limit, and write."""
    source = work / f"{STAGE}.mlpackage"
    if not source.exists():
        work.mkdir(parents=True, exist_ok=True)
        ours("coreml", STAGE, work)
    whole = measure_call(run, source).result if compare else None
    rows = [measured(source, each, None if number else whole) for number, each in enumerate(limit or LIMITS_MB)]
    stated = conditions(1, model="sd15, random weights", stage=STAGE)
    write_result(RESULT, {"conditions": stated, "rows": [asdict(with_earlier(row)) for row in rows]})


if __name__ == "__main__":
    run_script(main, __doc__)
