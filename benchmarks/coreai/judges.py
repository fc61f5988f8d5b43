"""Why the interpreter of Core ML packages and Apple's Core AI runtime differ on one network.

    python -m benchmarks.coreai.judges                # every stage, about ten minutes alone
    python -m benchmarks.coreai.judges encode_text

Both run the emoji model in float16 on the same inputs, and PyTorch rounds the result of every operation of their graphs
to float16 (export/mixed/rounded.py), which is what one may expect of them.  Then one kind of operation after another is
left out of the rounding: the parts of a norm and of attention in Core ML's graph, and, in saved Core AI programs, kinds
of modules that stay in float32.  What the ratio gains is what that kind costs.
Writes benchmarks/results/coreai_judges.json, a row per stage.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.fx import Node

from benchmarks.measuring.command_line import Names, chosen, run_script
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import EMOJI, RESULTS
from export.coreai import graph
from export.coreai import lower as coreai
from export.coreai.options import CoreAIOptions
from export.coreml import lower as coreml
from export.coreml.interpret import Program
from export.coreml.mixed import half_program
from export.coreml.options import CoreMLOptions
from export.job.calibration import CALIBRATION_CASES, collect
from export.mixed.names import NONE, OWN, spelled
from export.mixed.rounded import HalfProgram, everything, module_of, nothing
from export.runners.coreai import CoreAIRunner
from export.runners.torch import TorchRunner
from export.signatures import STAGES
from export.stages import ExportStage, build_stage
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.decibels import snr_db
from mobile_diffusion.drawing import DrawSettings

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "coreai_judges.json"
KINDS: Mapping[str, Callable[[nn.Module], bool]] = {
    "norms": lambda module: "Norm" in type(module).__name__,
    "attention": lambda module: "Attention" in type(module).__name__,
    "layers": lambda module: isinstance(module, nn.Linear | nn.Conv2d),
}
"""Kinds of modules; everything else is activations and sums."""
Sample = Mapping[str, Tensor]


class Unrounded(HalfProgram):
    """A program of which some operations are not rounded."""

    left_out: frozenset[Node] = frozenset()

    @cached_property
    def exact(self) -> frozenset[Node]:
        """The operations in float32."""
        return HalfProgram.exact.func(self) | self.left_out  # type: ignore[attr-defined]


def without(half: HalfProgram, nodes: Iterable[Node]) -> HalfProgram:
    """The same program with more operations in float32."""
    program = Unrounded(half.stage, half.program, half.weights_only, half.keeps_update)
    object.__setattr__(program, "left_out", frozenset(nodes))
    return program


def members(stage: ExportStage, half: HalfProgram, kind: str) -> list[str]:
    """The modules of a kind that have operations of their own in a program."""
    modules = dict(stage.module.named_modules())
    return [name for name in half.modules if name in modules and KINDS[kind](modules[name])]


def inner(half: HalfProgram, names: Iterable[str]) -> list[Node]:
    """The operations of some modules except the last of each, whose result the module returns."""
    groups: dict[str, list[Node]] = {name: [] for name in names}
    for node in half.operations:
        if module_of(node) in groups:
            groups[module_of(node)].append(node)
    return [node for group in groups.values() for node in group[:-1]]


def examined(stage: ExportStage, sample: Sample, work: Path) -> dict[str, Any]:
    """One stage: both judges, what is expected of them, and what each kind of operation costs."""
    arrays = {name: value.numpy() for name, value in sample.items()}
    ml, ai = half_program(stage, CoreMLOptions()), graph.half_program(stage)
    exact = ml.run(sample, everything)[0].numpy()

    def ratio(output: np.ndarray | Tensor) -> float:
        return round(snr_db(exact, np.asarray(output)), 1)

    def stored(names: Iterable[str], folder: Path) -> np.ndarray:
        folder.mkdir()
        listed = spelled([name + OWN for name in names]) or NONE
        path = coreai.lower(stage, folder, CoreAIOptions(mixed_precision=listed))
        return next(iter(CoreAIRunner.load(folder, {stage.name: path}).run(stage.name, **arrays).values()))

    package = Program.open(work / coreml.lower(stage, work, CoreMLOptions()))
    parts = {kind: without(ml, inner(ml, members(stage, ml, kind))) for kind in ("norms", "attention")}
    return {
        "coreml": {
            "run": ratio(next(iter(package.run(**arrays).values()))),
            "expected": ratio(ml.run(sample, nothing)[0]),
            "expected_without": {kind: ratio(each.run(sample, nothing)[0]) for kind, each in parts.items()},
        },
        "coreai": {
            "run": ratio(stored((), work / NONE)),
            "expected": ratio(ai.run(sample, nothing)[0]),
            "run_without": {kind: ratio(stored(members(stage, ai, kind), work / kind)) for kind in KINDS},
        },
    }


def main(stages: Names = None) -> None:
    """Examine stage by stage, and write after each."""
    model = open_checkpoint(EMOJI)
    settings = DrawSettings.of(model.config)
    samples = collect(TorchRunner.from_model(model, 1), model.tokenizer, settings, CALIBRATION_CASES[:1], "trajectory")
    for name in chosen(stages, STAGES, "stage"):
        with tempfile.TemporaryDirectory() as folder:
            row = examined(build_stage(model, name), samples[name][0], Path(folder))
        rows = read_result(RESULT, {"stages": {}})["stages"] | {name: row}
        write_result(RESULT, {"conditions": conditions(1, model="emoji"), "stages": rows})
        LOGGER.info("%s", json.dumps({name: row}))


if __name__ == "__main__":
    run_script(main, __doc__)
