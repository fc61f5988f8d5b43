"""Mixed precision at Stable Diffusion's size: what choosing the modules, lowering with them and one step cost.

    python -m benchmarks.coreml.mixed_full_size --work /tmp/mixed        # Core ML; a quarter of an hour alone
    python -m benchmarks.coreml.mixed_full_size --work /tmp/mixed coreai

The U-Net of Stable Diffusion 2.1 at 768 pixels and its real widths, with random weights whose residual stream is scaled
beyond float16 (benchmarks/checkpoints/overflow.py).  The modules are chosen on one sample; the program is lowered with
them and run for one step, on another sample, by the interpreter or by Apple's runtime.  Each part has its own process.
It needs 17 GB of memory and a quiet machine.  Writes benchmarks/results/mixed_full_size.json, a row per runtime.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.checkpoints.full_size_stages import Clock, opened
from benchmarks.checkpoints.overflow import overflowing
from benchmarks.measuring.command_line import Names, Work, chosen, run_script
from benchmarks.measuring.peak_memory import measure_call
from benchmarks.measuring.random_model import RandomModel
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import RESULTS
from export.job.mixed_search import margin_of
from export.mixed.choose import Effort, choose
from export.mixed.names import NONE, spelled
from export.mixed.rounded import nothing
from export.runtime import Runtime
from export.stages import ExportStage, build_stage
from export.targets import COREAI, COREML, half_program, lower
from mobile_diffusion.decibels import json_number, snr_db
from mobile_diffusion.presets import preset

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "mixed_full_size.json"
MODEL, CASE, STAGE = "sd21-v", "stream", "denoise"
RUNTIMES = {"coreml": COREML, "coreai": COREAI}
EFFORT = Effort(trials=8, judged=1, proved=1, rounds=1)
THREADS, GIGA = 2, 1e9
CHOSEN, JUDGED = 0, 1
"""Seeds of the sample on which the modules are chosen, and of the one that is run."""


class Overflowing(RandomModel):
    """Random networks of which one leaves float16."""

    def load_part(self, part: str) -> Any:
        """Return one network, scaled if it is the U-Net."""
        network = super().load_part(part)
        if part == "unet":
            holder: Any = type("Parts", (), {"parts": {part: network}})
            overflowing(holder, CASE)
        return network


def stage_of() -> ExportStage:
    """The step of the U-Net."""
    return build_stage(Overflowing(preset(MODEL), seed=0), STAGE)


def sample_of(stage: ExportStage, seed: int) -> dict[str, Tensor]:
    """Seeded inputs of a step."""
    generator = np.random.default_rng(seed)
    fixed = {"step": np.array([seed], np.int32), "guidance": np.array([7.5], np.float32)}
    drawn = {spec.name: generator.standard_normal(spec.shape, np.float32) for spec in stage.inputs}
    return {name: torch.from_numpy(fixed.get(name, array)) for name, array in drawn.items()}


def choose_modules(runtime: str, work: Path) -> dict[str, Any]:
    """What `--mixed-precision auto` does with one sample."""
    stage = stage_of()
    half = half_program(RUNTIMES[runtime], stage)
    margin = margin_of(preset(MODEL), STAGE, "fp16")
    clock = Clock()
    choice = choose(half, [sample_of(stage, CHOSEN)], margin, nothing, EFFORT)
    found = {"names": list(choice.names), "weights_in_float32": choice.weights}
    decibels = {"before_db": json_number(choice.before_db), "after_db": json_number(choice.after_db)}
    return clock.read() | found | decibels | {"weights": sum(half.modules.values())}


def named(runtime: str, names: str) -> Runtime:
    """The runtime with modules in float32."""
    return RUNTIMES[runtime].mixed(names)


def lower_with(runtime: str, work: Path, names: str) -> dict[str, Any]:
    """Lower the step as an export does, and keep PyTorch's output for the sample that is run."""
    stage = stage_of()
    clock = Clock()
    path = lower(named(runtime, names), stage, work)
    taken = clock.read()
    sample = sample_of(stage, JUDGED)
    with torch.inference_mode():
        output = stage.module(**sample)
    wanted = output[0] if isinstance(output, tuple) else output
    np.savez(work / "sample.npz", wanted=wanted.numpy(), **{name: value.numpy() for name, value in sample.items()})
    size = sum(file.stat().st_size for file in (work / path).rglob("*") if file.is_file())
    return taken | {"size_gb": size / GIGA, "program": path}


def run(runtime: str, work: Path, program: str) -> dict[str, Any]:
    """Run one step of the saved program, and compare it with PyTorch."""
    with np.load(work / "sample.npz") as stored:
        arrays = dict(stored)
    wanted = arrays.pop("wanted")
    call = opened(runtime, STAGE, work, work / program)
    clock = Clock()
    outputs = call(arrays)
    first = next(iter(outputs.values()))
    return clock.read() | {"snr_db": json_number(snr_db(wanted, first))}


def measured(runtime: str, work: Path) -> dict[str, Any]:
    """The three parts, each in a process of its own."""
    work.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {}

    def part(name: str, function: Any, *more: str) -> dict[str, Any]:
        taken = measure_call(function, runtime, work, *more)
        parts[name] = taken.result | {"peak_gb": taken.peak_bytes / GIGA, "private_gb": taken.private_bytes / GIGA}
        LOGGER.info("%s", json.dumps({name: parts[name]}))
        return parts[name]

    names = part("choose", choose_modules)["names"]
    program = part("lower", lower_with, spelled(names) if names else NONE).pop("program")
    part("run", run, program)
    return {"runtime": runtime, **parts}


def main(work: Work, runtimes: Names = None) -> None:
    """Measure runtime by runtime, Core ML alone if none is named, and write after each."""
    for name in chosen(runtimes or ["coreml"], RUNTIMES, "runtime"):
        row = measured(name, work / name)
        rows = [each for each in read_result(RESULT, {"rows": []})["rows"] if each["runtime"] != name]
        about = {"model": MODEL, "case": CASE, "trials": EFFORT.trials}
        write_result(RESULT, {"conditions": conditions(THREADS, **about), "rows": [*rows, row]})


if __name__ == "__main__":
    run_script(main, __doc__)
