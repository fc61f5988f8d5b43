"""How long the interpreter takes: the emoji model's 8 steps, and one step of Stable Diffusion 1.5 at full size.

    python -m benchmarks.coreml.interpreter_speed --work /tmp/sd15  # about 4 minutes, 5 GB of memory

The emoji model is `build/ios/denoise.mlpackage`, as `make demo` writes it; Stable Diffusion's U-Net has random weights
and is lowered into the work folder, unless it lies there (checkpoints/full_size_stages.py); its step has two
evaluations, for guidance.  Each is measured in a process of its own, whose peak is that of the whole.  Seconds are of
the opening, of the first run, which reads the weights, and of the second.  Results go to
benchmarks/results/interpreter_speed.json.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.checkpoints.full_size_stages import ours
from benchmarks.measuring.command_line import Threads, chosen, run_script
from benchmarks.measuring.peak_memory import measure_call
from benchmarks.measuring.results import read_result, write_result
from benchmarks.paths import RESULTS, ROOT
from export.coreml.interpret import Program
from export.coreml.interpret.statistics import random_arrays
from export.coreml.toolchain import import_coremltools

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "interpreter_speed.json"
EMOJI = ROOT / "build" / "ios" / "denoise.mlpackage"
EMOJI_STEPS, GIGA = 8, 1e9
LIMITS = {"emoji": (5.0, 8.0), "sd15": (60.0, 8.0)}
"""Seconds of a run, and gigabytes, that are to be kept below."""


@dataclass(frozen=True)
class Row:
    """One model in one precision."""

    model: str
    precision: str
    steps: int
    """Of the sampler, that one run stands for."""
    threads: int
    open_seconds: float
    """Of opening the package, without the import of coremltools."""
    first_seconds: float
    seconds: float
    """Of the second run."""
    cpu_seconds: float
    """The same on all cores: what a busy machine changes less."""
    peak_gb: float
    """Resident, mapped files included."""
    private_gb: float
    """Resident and in no file."""
    within: bool
    """Whether the second run and the peak are below their limits."""
    load: float
    """Processes that wanted a core when it began, besides its own."""


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of all cores."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def measured(path: Path, precision: str, steps: int, threads: int) -> dict[str, float]:
    """Open a package and run its steps twice."""
    torch.set_num_threads(threads)
    import_coremltools()
    begin = time.perf_counter()
    program = Program.open(path, precision)
    opened = time.perf_counter() - begin
    arrays = random_arrays(program.inputs, 0)

    def run() -> None:
        for step in range(steps):
            program.run(None, **(arrays | {"step": np.array([step], np.int32)}))

    first, _ = timed(run)
    seconds, cpu = timed(run)
    return {"open_seconds": opened, "first_seconds": first, "seconds": seconds, "cpu_seconds": cpu}


def row_of(model: str, path: Path, precision: str, steps: int, threads: int) -> Row:
    """Measure in a new process."""
    load = os.getloadavg()[0]
    taken = measure_call(measured, path, precision, steps, threads)
    seconds, gigabytes = LIMITS[model]
    peak = taken.peak_bytes / GIGA
    within = bool(taken.result["seconds"] < seconds and peak < gigabytes)
    found = taken.result | {"peak_gb": peak, "private_gb": taken.private_bytes / GIGA, "load": load}
    rounded = {key: round(value, 2) for key, value in found.items()}
    return Row(model, precision, steps, threads, within=within, **rounded)


def keep(row: Row) -> None:
    """Replace the earlier row."""
    earlier = read_result(RESULT, [])
    key = (row.model, row.precision, row.threads)
    others = [each for each in earlier if (each["model"], each["precision"], each["threads"]) != key]
    write_result(RESULT, [*others, asdict(row)])


def main(
    work: Annotated[Path, typer.Option(help="Folder of Stable Diffusion's package, 1.8 GB.")],
    threads: Threads = 2,
    precision: Annotated[list[str] | None, typer.Option(help="May be repeated; as-stored by default.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="May be repeated; both by default.")] = None,
) -> None:
    """Measure every model in every precision, and write after each."""
    models, large = chosen(model, LIMITS, "model"), work / "denoise.mlpackage"
    if "sd15" in models and not large.exists():
        work.mkdir(parents=True, exist_ok=True)
        measure_call(ours, "coreml", "denoise", work)
    packages = {"emoji": (EMOJI, EMOJI_STEPS), "sd15": (large, 1)}
    for name in models:
        for each in precision or ["as-stored"]:
            path, steps = packages[name]
            row = row_of(name, path, each, steps, threads)
            LOGGER.info("%s", json.dumps(asdict(row)))
            keep(row)


if __name__ == "__main__":
    run_script(main, __doc__)
