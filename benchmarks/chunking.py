"""A full-size package cut into parts: time, memory, sizes, and whether the parts compute what the whole computes.

    python benchmarks/chunking.py --work /tmp/sd15               # cut at 900, 500 and 250 MB
    python benchmarks/chunking.py --work /tmp/sd15 --run         # and run the whole and the first cut

The U-Net of Stable Diffusion 1.5 at 512 pixels with random weights, lowered by us into `--work` if it is not there
(benchmarks/full_size_stages.py).  Every figure is of a process of its own, imports and reading of the package
included; the peak is resident memory, mapped files included.  With `--run` the interpreter runs the whole and the
first cut with the same seeded inputs, and every output is compared bit by bit.  Results go to benchmarks/results/chunking.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.full_size_stages import arrays_of, ours, stage_of
from benchmarks.peak_memory import measure_call
from export.coreml.chunks import split_package
from export.coreml.interpret import Program
from export.latency.measure import read_conditions

LOGGER = logging.getLogger(__name__)
RESULTS = Path(__file__).with_name("results") / "chunking.json"
STAGE = "denoise"
LIMITS_MB = (900, 500, 250)
MEGA, GIGA = 1e6, 1e9
Row = dict[str, Any]


def cut(source: Path, limit_mb: int, out: Path) -> Row:
    """Cut a package; its parts."""
    found = split_package(source, int(limit_mb * MEGA), out)
    parts = [
        {"operations": part.operations, "weights_mb": round(part.weight_bytes / MEGA, 1), "inputs": len(part.inputs)}
        for part in found.chunks
    ]
    return {"parts": parts, "crossing_mb": [round(size / MEGA, 2) for size in found.crossing_bytes]}


def run(package: Path) -> dict[str, np.ndarray]:
    """The outputs of a package for seeded inputs."""
    return Program.open(package).run(**arrays_of(stage_of(STAGE)))


def measured(source: Path, limit_mb: int, whole: dict[str, np.ndarray] | None) -> Row:
    """One limit."""
    out = source.with_name(f"{STAGE}-{limit_mb}.mlpackage")
    shutil.rmtree(out, ignore_errors=True)
    taken = measure_call(cut, source, limit_mb, out)
    row: Row = {"limit_mb": limit_mb, "seconds": round(taken.seconds, 1)}
    row |= {"peak_gb": round(taken.peak_bytes / GIGA, 2), "private_gb": round(taken.private_bytes / GIGA, 2)}
    row |= taken.result
    if whole is not None:
        got = measure_call(run, out)
        row["run_seconds"], row["run_peak_gb"] = round(got.seconds, 1), round(got.peak_bytes / GIGA, 2)
        row["equal"] = all(np.array_equal(value, got.result[name]) for name, value in whole.items())
    shutil.rmtree(out)
    LOGGER.info(json.dumps(row))
    return row


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the package, 4 GB")
    parser.add_argument("--limits", type=int, nargs="+", default=LIMITS_MB, help="megabytes")
    parser.add_argument("--run", action="store_true", help="run the whole and the first cut, and compare")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    source = given.work / f"{STAGE}.mlpackage"
    if not source.exists():
        given.work.mkdir(parents=True, exist_ok=True)
        ours("coreml", STAGE, given.work)
    whole = measure_call(run, source) if given.run else None
    reference = None if whole is None else whole.result
    rows = [measured(source, limit, None if number else reference) for number, limit in enumerate(given.limits)]
    conditions = asdict(read_conditions()) | {"model": "sd15, random weights", "stage": STAGE}
    if whole is not None:
        conditions["whole_run_seconds"] = round(whole.seconds, 1)
        conditions["whole_run_peak_gb"] = round(whole.peak_bytes / GIGA, 2)
    RESULTS.write_text(json.dumps({"conditions": conditions, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
