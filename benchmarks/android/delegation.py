"""How much of every architecture XNNPACK and Vulkan take: delegates, operations left outside, CPU seconds of lowering.

    python -m benchmarks.android.delegation --work /tmp/delegation                         # about 10 minutes
    python -m benchmarks.android.delegation --work /tmp/delegation emoji --naive

Only the emoji model is trained.  The others are published architectures with random weights and every width divided
by ten (checkpoints/support.py), which changes no operation.  `--naive` adds the unmodified stage through XNNPACK's
stock partitioner.  Results go to benchmarks/results/android_delegation.json.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.android.ways import make_naive
from benchmarks.checkpoints.support import NARROW, ROWS, opened
from benchmarks.measuring.command_line import Names, Work, chosen, run_script
from benchmarks.measuring.results import read_result, write_result
from benchmarks.paths import EMOJI, RESULTS
from export.executorch.signature import PROGRAM, read_delegation
from export.signatures import IMAGE_STAGES
from export.stages import ExportStage, build_stage
from export.targets import RUNTIMES, lower
from mobile_diffusion.checkpoint import open_source

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "android_delegation.json"
MODELS = ("emoji", *ROWS)
LOWERED = (("xnnpack", "fp32"), ("vulkan", "fp32"), ("vulkan", "fp16"))
NAIVE = ("xnnpack, naive", "fp32")


def row_of(model: str, stage: ExportStage, runtime: str, precision: str, work: Path) -> dict[str, Any]:
    """One stage lowered for one runtime."""
    folder = work / "program"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begin = time.process_time()
    path = folder / lower(RUNTIMES[runtime].at(precision), stage, folder)
    seconds = time.process_time() - begin
    found = read_delegation(path)
    return {
        "model": model,
        "stage": stage.name,
        "runtime": runtime,
        "precision": precision,
        "delegates": found.delegates,
        "undelegated": found.undelegated,
        "cpu_seconds": round(seconds, 1),
        "file_mb": round(path.stat().st_size / 1e6, 2),
    }


def naive_row(model: str, stage: ExportStage, work: Path) -> dict[str, Any]:
    """The unmodified stage through XNNPACK's stock partitioner."""
    folder = work / "program"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begin = time.process_time()
    delegates, undelegated = make_naive(stage, folder)
    return {
        "model": model,
        "stage": stage.name,
        "runtime": NAIVE[0],
        "precision": NAIVE[1],
        "delegates": delegates,
        "undelegated": undelegated,
        "cpu_seconds": round(time.process_time() - begin, 1),
        "file_mb": round((folder / f"{stage.name}{PROGRAM}").stat().st_size / 1e6, 2),
    }


def rows_of(model: str, work: Path, naive: bool) -> list[dict[str, Any]]:
    """Every stage of a model for every runtime."""
    folder, options = (EMOJI, None) if model == "emoji" else opened(model, work, NARROW)
    source, rows = open_source(folder, options), []
    for name in IMAGE_STAGES:
        stage = build_stage(source, name)
        rows += [row_of(model, stage, runtime, precision, work) for runtime, precision in LOWERED]
        if naive:
            rows.append(naive_row(model, stage, work))
        for row in rows[-len(LOWERED) - naive :]:
            LOGGER.info("%s", json.dumps(row))
    return rows


def keep(model: str, rows: Sequence[dict[str, Any]]) -> None:
    """Put a model's rows into the file, in the order of MODELS."""
    found = read_result(RESULT, {"rows": []})["rows"]
    others = [row for row in found if row["model"] in MODELS and row["model"] != model]
    together = sorted([*others, *rows], key=lambda row: MODELS.index(row["model"]))
    write_result(RESULT, {"narrow": NARROW, "rows": together})


def main(
    work: Work,
    models: Names = None,
    naive: Annotated[bool, typer.Option("--naive", help="Lower the unmodified stage, too.")] = False,
) -> None:
    """Lower every stage of every model, and write after each model."""
    for model in chosen(models, MODELS, "model"):
        keep(model, rows_of(model, work, naive))


if __name__ == "__main__":
    run_script(main, __doc__)
