"""Both judges of an iPhone's programs side by side: the interpreter of Core ML packages, and Apple's Core AI runtime.

    python -m benchmarks.coreai.parity --work /tmp/parity             # all, about an hour
    python -m benchmarks.coreai.parity --work /tmp/parity emoji sd15

Every architecture of the support table is exported for Core ML (float16) and Core AI (float16 and float32) and compared
with PyTorch: the emoji model over whole trajectories, the others, with random weights and every width divided by 10,
for one step and one decoding.  Results go to benchmarks/results/coreai_parity.json, a row each.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.support import NARROW, ROWS, opened
from benchmarks.measuring.command_line import Names, Work, chosen, run_script
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import EMOJI, RESULTS
from export.coreai.options import CoreAIOptions
from export.job.plan import plan_export
from export.job.run import run_export
from export.parity.report import ParityReport
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.decibels import json_number

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "coreai_parity.json"
TRAINED = "emoji"
WAYS = {"fp16": ("coreml", "coreai"), "fp32": ("coreai",)}
"""Precision of Core AI -> the runtimes that are exported with it."""


def checkpoint_of(name: str, work: Path) -> tuple[Model, str]:
    """A model, and how far it is compared."""
    if name == TRAINED:
        return open_checkpoint(EMOJI), "trajectory"
    folder, options = opened(name, work, NARROW)
    return open_checkpoint(folder, options), "step"


def measured(name: str, work: Path) -> list[dict[str, Any]]:
    """The worst figure of every check, a row per runtime and precision."""
    model, depth = checkpoint_of(name, work)
    rows = []
    for precision, runtimes in WAYS.items():
        options = {"coreai": CoreAIOptions(precision)}
        plan = plan_export(model.config, TARGETS["ios"], runtimes, depth=depth, options=options)
        out = work / "bundle"
        rows += rows_of(name, depth, run_export(model, TARGETS["ios"], out, force=out.exists(), plan=plan).parity)
    shutil.rmtree(work)
    return rows


def rows_of(name: str, depth: str, report: ParityReport) -> list[dict[str, Any]]:
    """A row per runtime of a report."""
    found: dict[str, dict[str, Any]] = {}
    for row in report.rows():
        new = {"model": name, "depth": depth, "runtime": row.runtime, "precision": row.precision, "worst_db": {}}
        found.setdefault(row.runtime, new)["worst_db"][row.check] = json_number(row.worst)
    return list(found.values())


def main(work: Work, names: Names = None) -> None:
    """Measure row by row, and write after each."""
    for name in chosen(names, (TRAINED, *ROWS), "model"):
        rows = measured(name, work / name.replace(" ", "-"))
        kept = [row for row in read_result(RESULT, {"rows": []})["rows"] if row["model"] != name]
        write_result(RESULT, {"conditions": conditions(2, narrow=NARROW), "rows": [*kept, *rows]})
        LOGGER.info("%s: %s", name, {f"{row['runtime']} {row['precision']}": row["worst_db"] for row in rows})


if __name__ == "__main__":
    run_script(main, __doc__)
