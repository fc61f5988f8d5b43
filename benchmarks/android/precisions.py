"""The precisions of the Android artifacts, side by side: sizes, times, distances from PyTorch.

    .venv/bin/python -m benchmarks.android.precisions --work build/precisions                # half an hour

Every precision of the emoji model is exported as `mobile-diffusion export android` does it, checks included; a bundle
that is already in the work folder is reused.  Runs of the precisions are interleaved.  Times are of this computer, not
of a phone.  Results go to benchmarks/results/android_precisions.json.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.measuring.command_line import Threads, Work, chosen, run_script
from benchmarks.measuring.results import conditions, write_result
from benchmarks.paths import EMOJI, RESULTS
from export.bundle.bundle import Bundle, open_bundle
from export.job.calibration import CALIBRATION_CASES, collect
from export.job.plan import plan_export
from export.job.run import run_export
from export.runners import Runner
from export.runners.torch import TorchRunner
from export.signatures import STAGES
from export.targets import RUNTIMES, TARGETS, load_runner
from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import MobileDiffusionError

LOGGER = logging.getLogger(__name__)
PAUSE_S = 0.05
"""Between runs: threads of the runtime before stop to spin.  The first run after it wakes the next one's."""
RESULT = RESULTS / "android_precisions.json"
CHOICES = (
    ("xnnpack", "fp32"),
    ("xnnpack", "fp16"),
    ("xnnpack", "int8"),
    ("xnnpack", "int8-dynamic"),
    ("xnnpack", "int4-dynamic"),
    ("onnx", "fp32"),
    ("onnx", "int8"),
)
"""Runtime and precision; the first is what the others are compared with."""
Inputs = Mapping[str, Mapping[str, np.ndarray]]


def bundle_of(model: Model, runtime: str, precision: str, work: Path, threads: int) -> Bundle:
    """The bundle of one precision, exported unless it is there."""
    out = work / f"{runtime}-{precision}"
    if not out.exists():
        LOGGER.info("exporting %s", out)
        plan = plan_export(model.config, TARGETS["android"], (runtime,), threads=threads, precision=precision)
        run_export(model, TARGETS["android"], out, plan=plan)
    return open_bundle(out)


def described(bundle: Bundle) -> dict[str, Any]:
    """Sizes, the worst of each parity check, and how many layers are rounded."""
    entry = bundle.runtime()
    paths = {stage: bundle.path / path for stage, path in bundle.artifacts(entry).items()}
    row: dict[str, Any] = {"bytes": {stage: path.stat().st_size for stage, path in paths.items()}}
    row["worst"] = {f"{each.check} {each.metric}": each.worst for each in bundle.manifest.parity}
    row["layers"] = {stage: layers_of(path) for stage, path in paths.items() if path.suffix == ".pte"}
    return row


def layers_of(path: Path) -> dict[str, int]:
    """How many layers of a program are rounded how."""
    notes = json.loads(path.with_suffix(".json").read_text()).get("quantization", {"layers": {}, "float": {}})
    ways = [f"{entry['bits']} bits, {entry['range']} range" for entry in notes["layers"].values()]
    return {way: ways.count(way) for way in sorted(set(ways))} | {"float": len(notes["float"])}


def timed(runners: Mapping[str, Runner], inputs: Inputs, runs: int) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds of each stage by precision; runs are interleaved."""
    table: dict[str, dict[str, dict[str, float]]] = {name: {} for name in runners}
    for stage in STAGES:
        taken: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(runs + 2):
            for name, runner in runners.items():
                time.sleep(PAUSE_S)
                runner.run(stage, **inputs[stage])
                start = time.perf_counter()
                runner.run(stage, **inputs[stage])
                taken[name].append((time.perf_counter() - start) * 1e3)
        for name, each in taken.items():
            kept = each[2:]  # the first runs pack weights
            low, middle, high = np.percentile(kept, (25, 50, 75))
            table[name][stage] = {"median_ms": middle, "iqr_ms": high - low, "least_ms": min(kept)}
    return table


def main(
    work: Work,
    threads: Threads = 2,
    runs: Annotated[int, typer.Option(min=3, help="Timed calls of each stage; the first two warm up.")] = 30,
    only: Annotated[list[str] | None, typer.Option(help="Such as xnnpack-int8; repeatable; all by default.")] = None,
    out: Annotated[Path, typer.Option(help="JSON to write.")] = RESULT,
) -> None:
    """Export, measure, write."""
    torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    wanted = chosen(only, (f"{runtime}-{precision}" for runtime, precision in CHOICES), "precision")
    model = open_checkpoint(EMOJI)
    bundles, rows = {}, {}
    for runtime, precision in CHOICES:
        name = f"{runtime}-{precision}"
        if name not in wanted:
            continue
        try:
            bundles[name] = bundle_of(model, runtime, precision, work, threads)
            rows[name] = described(bundles[name])
        except MobileDiffusionError as error:
            rows[name] = {"refused": str(error)}
            LOGGER.warning("%s: %s", name, error)
    runners = {name: runner_of(bundle, threads) for name, bundle in bundles.items()}
    stated = conditions(threads, runs=runs, torch=torch.__version__, model=model.config.name)
    for name, times in timed(runners, inputs_of(model, threads), runs).items():
        rows[name]["latency"] = times
    write_result(out, {"conditions": stated, "precisions": rows})


def runner_of(bundle: Bundle, threads: int) -> Runner:
    """Its primary runtime, loaded."""
    entry = bundle.runtime()
    return load_runner(RUNTIMES[entry.name], bundle.path, bundle.artifacts(entry), threads)


def inputs_of(model: Model, threads: int) -> Inputs:
    """Inputs of each stage at one step of a drawing."""
    reference = TorchRunner.from_model(model, threads)
    samples = collect(reference, model.tokenizer, DrawSettings.of(model.config), CALIBRATION_CASES[:1])
    return {stage: {name: tensor.numpy() for name, tensor in samples[stage][-1].items()} for stage in STAGES}


if __name__ == "__main__":
    run_script(main, __doc__)
