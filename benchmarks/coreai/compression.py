"""The emoji model's Core AI programs with compressed weights, each run by Apple's runtime and compared with PyTorch.

    python -m benchmarks.coreai.compression --work /tmp/compression                 # all rows, about half an hour
    python -m benchmarks.coreai.compression --work /tmp/compression int8 int4-block
    python -m benchmarks.coreai.compression --work /tmp/compression plan.json       # of `coreml plan`
    python -m benchmarks.coreai.compression --work /tmp/compression apple-int4      # coreai-opt, int4 in blocks of 32

Rows are recipes of export/compression, plans, and Apple's own preset.  Each is applied to the same lowered programs.
The size is that of the programs; times are the processor's; the memory is that of the process in which Apple's runtime
has all three programs.  Results go to benchmarks/results/coreai_compression.json, a row each.
"""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measuring.command_line import Names, Work, run_script
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import EMOJI, RESULTS
from export.compression.choice import name_of
from export.compression.recipes import NONE
from export.coreai.asset import PROGRAM
from export.coreai.compress import compress_program, verify_asset
from export.coreai.lower import lower
from export.coreai.options import CoreAIOptions
from export.coreai.toolchain import NOISY_LOGGERS, import_coreai
from export.job.plan import plan_export
from export.job.reference import open_reference, record_cases
from export.parity.compare import compare_runners
from export.parity.trajectories import CASES, Trajectory
from export.quiet import errors_only
from export.runners.coreai import CoreAIRunner
from export.signatures import STAGES
from export.stages import build_stage
from export.targets import COREAI, find_target
from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.decibels import json_number
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.schedule import step_table

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "coreai_compression.json"
APPLE = "apple-int4"
ROWS = (
    NONE, "int8", "int8-block", "int4-block", APPLE, "palettize-8", "palettize-6", "palettize-4", "palettize-3",
    "palettize-2",
)  # fmt: skip
CALLS = 3
"""Calls of `denoise` that are timed; the least counts."""


def lowered(model: Model, folder: Path) -> Path:
    """The uncompressed programs, written once."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for stage in STAGES:
            lower(build_stage(model, stage), folder)
    return folder


def compressed(whole: Path, folder: Path, choice: str) -> float:
    """Write the programs with compressed weights; returns the processor's seconds that compressing them took."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    taken = 0.0
    for stage in STAGES:
        out = folder / f"{stage}.aimodel"
        program = import_coreai("coreai.authoring").AIModelAsset.load(str(whole / out.name)).program
        before = time.process_time()
        promised = None if choice == APPLE else compress_program(program, stage, choice)
        if promised is None:
            quantized_by_apple(program)
        taken += time.process_time() - before
        program.save_asset(out)
        if promised is not None:
            verify_asset(out, promised)
    return taken


def quantized_by_apple(program: Any) -> None:
    """Apple's preset: int4 with a scale per 32 inputs; what it does not support stays float16."""
    with errors_only((*NOISY_LOGGERS, "coreai_opt"), prints=True):
        tools = import_coreai("coreai_opt.coreai_utils")
        tools.quantize_weights(
            program, tools.DType.INT4, granularity=tools.CompressionGranularity.PER_BLOCK, block_size=32, in_place=True
        )


def measured(model: Model, whole: Path, choice: str, trajectories: list[Trajectory]) -> dict[str, Any]:
    """One row."""
    folder = whole.parent / "variant"
    seconds = compressed(whole, folder, choice)
    runner = CoreAIRunner.load(folder, {stage: f"{stage}.aimodel" for stage in STAGES})
    settings = DrawSettings.of(model.config)
    inputs = trajectories[0].step_inputs(0, settings)
    runtime = COREAI.chosen(CoreAIOptions(compression="int4-block" if choice == APPLE else choice))
    table = step_table(model.config.schedule)
    report, _ = compare_runners([(runtime, runner)], trajectories, settings, table, "trajectory")
    row = {
        "compression": choice if choice == APPLE else name_of(choice),
        "size_bytes": sum((folder / f"{stage}.aimodel" / PROGRAM).stat().st_size for stage in STAGES),
        "compress_cpu_s": round(seconds, 1),
        "step_cpu_s": round(min(timed(runner, inputs) for _ in range(CALLS)), 2),
        "worst_db": {row.check: json_number(row.worst) for row in report.rows()},
        "peak_bytes": peak_of(runner.process.process.pid),
    }
    shutil.rmtree(folder)
    return row


def timed(runner: CoreAIRunner, inputs: dict[str, Any]) -> float:
    """The processor's seconds of one call of `denoise`, in the process of Apple's runtime."""
    process = psutil.Process(runner.process.process.pid)
    before = process.cpu_times()
    runner.run("denoise", **inputs)
    after = process.cpu_times()
    return after.user + after.system - before.user - before.system


def peak_of(process: int) -> int:
    """The most bytes that a process has had in memory, as Linux counts them."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def main(work: Work, choices: Names = None) -> None:
    """Measure row by row, and write after each."""
    model = open_checkpoint(EMOJI)
    plan = plan_export(model.config, find_target("ios"), depth="trajectory", threads=1)
    reference, settings = open_reference(model, plan), DrawSettings.of(model.config)
    trajectories = record_cases(reference, model.tokenizer, settings, CASES, plan)
    whole = lowered(model, work / "whole")
    for choice in choices or ROWS:
        row = measured(model, whole, choice, list(trajectories))
        kept = [each for each in read_result(RESULT, {"rows": []})["rows"] if each["compression"] != row["compression"]]
        write_result(RESULT, {"conditions": conditions(1, cases=len(CASES)), "rows": [*kept, row]})
        LOGGER.info("%s: %s", choice, row)


if __name__ == "__main__":
    run_script(main, __doc__)
