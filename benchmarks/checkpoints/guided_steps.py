"""Two ways to make a step with guidance: one call with both evaluations, or two calls of one evaluation each.

    python -m benchmarks.checkpoints.guided_steps --work /tmp/guided     # benchmarks/results/guided_steps.json

A bundle whose steps are guided alike has the first; one with guidance in a part of its steps the second, as the same
program then makes the steps without guidance.  The alternative, a program for each kind of step, would store the
weights twice (or once, where a format can share them) and hold them in memory twice.  Weights are random; times are the
processor's, not the clock's.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.android.models import MODELS
from benchmarks.measuring.command_line import Threads, Work, run_script
from benchmarks.measuring.random_model import RandomModel
from benchmarks.measuring.results import write_result
from benchmarks.paths import RESULTS
from export.latency.measure import random_inputs, read_conditions
from export.stages import build_stage
from export.targets import RUNTIMES, load_runner, lower
from mobile_diffusion.config import ModelConfig

RESULT = RESULTS / "guided_steps.json"
RUNTIME_NAMES = ("xnnpack", "onnx")
ROUNDS, WARMUP = 15, 2


def guided(shares: tuple[float, ...]) -> ModelConfig:
    """The medium U-Net, guided."""
    config = MODELS["medium"]
    schedule = dataclasses.replace(
        config.schedule, guidance_kind="cfg", guidance=7.5, guidance_shares=shares, solver="ddim"
    )
    return dataclasses.replace(config, schedule=schedule)


def measure(runtime_name: str, work: Path, threads: int) -> dict[str, Any]:
    """Times of a guided step both ways, interleaved, and of a step without guidance; sizes of the programs."""
    runtime, calls, sizes = RUNTIMES[runtime_name], {}, {}
    for way, shares in (("both in one call", ()), ("one per call", (1.0,) * MODELS["medium"].schedule.steps)):
        stage = build_stage(RandomModel(guided(shares), seed=0), "denoise")
        folder = work / f"{runtime_name}-{len(shares)}"
        path = lower(runtime, stage, folder)
        runner = load_runner(runtime, folder, {"denoise": path}, threads)
        inputs = random_inputs({"denoise": stage}, 0)["denoise"]
        calls[way] = (runner, inputs)
        sizes[way] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    taken: dict[str, list[float]] = {way: [] for way in calls}
    for _ in range(ROUNDS):
        for way, (runner, inputs) in calls.items():
            taken[way].append(timed(runner, inputs))
    median = {way: statistics.median(times[WARMUP:]) for way, times in taken.items()}
    return {
        "guided_step_in_one_call_ms": round(median["both in one call"], 1),
        "guided_step_in_two_calls_ms": round(2 * median["one per call"], 1),
        "step_without_guidance_ms": round(median["one per call"], 1),
        "megabytes": {way: round(size / 1e6, 1) for way, size in sizes.items()},
    }


def timed(runner: Any, inputs: dict[str, np.ndarray]) -> float:
    """Milliseconds of the processor that a call takes, whatever else runs on the machine."""
    start = time.process_time()
    runner.run("denoise", **inputs)
    return (time.process_time() - start) * 1000


def main(work: Work, threads: Threads = 1) -> None:
    """Lower, measure and write."""
    conditions = dataclasses.asdict(read_conditions()) | {"threads": threads}
    rows = {name: measure(name, work, threads) for name in RUNTIME_NAMES}
    write_result(RESULT, {"conditions": conditions, "runtimes": rows})


if __name__ == "__main__":
    run_script(main, __doc__)
