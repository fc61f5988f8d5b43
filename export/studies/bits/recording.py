"""Makes a compression plan from a checkpoint: records drawings, lowers the U-Net, measures its layers."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from export.compression.plan import STAGE, CompressionPlan
from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.coreml.package_archive import CoreMLPackage
from export.denoise import Denoise
from export.parity.record import record
from export.parity.trajectories import CASES, Trajectory
from export.runners.torch import TorchRunner, torch_threads
from export.studies.bits.planning import Budget, make_plan
from export.studies.bits.sensitivity import States
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.progress import Progress, part_of, silent

_RECORDED, _LOWERED = 0.05, 0.1


def plan_checkpoint(
    source: AnyModel,
    budget: Budget,
    options: CoreMLOptions,
    folder: Path,
    prompts: int = 3,
    per_step: int = 1,
    threads: int = 2,
    progress: Progress = silent,
) -> CompressionPlan:
    """Draw `prompts` pictures with PyTorch, lower `denoise` into `folder`, and plan within a budget.

    Raises:
        ConfigError: no plan is within the budget, or the U-Net reads a picture.
        ExportError: the U-Net cannot be lowered, or its program has other weights than the module.
    """
    source.config.require_text_alone("plan")
    runner, settings = TorchRunner.from_model(source, threads), DrawSettings.of(source.config)
    drawn = []
    for number, case in enumerate(CASES[:prompts]):
        progress(f"drawing {case}", _RECORDED * number / prompts)
        drawn.append(record(runner, source.tokenizer, settings, case))
    progress("lowering denoise", _RECORDED)
    stage = runner.stages[STAGE]
    package = CoreMLPackage.open(folder / lower(stage, folder, options))
    with torch_threads(threads):
        states = States.of(drawn, settings, per_step)
        conditions = described(drawn, states, options)
        part = part_of(progress, _LOWERED, 1 - _LOWERED)
        return make_plan(cast(Denoise, stage.module), package, states, budget, conditions, part)


def described(drawn: list[Trajectory], states: States, options: CoreMLOptions) -> dict[str, object]:
    """The conditions under which a plan was made."""
    return {
        "cases": [str(each.case) for each in drawn],
        "guidance": drawn[0].guidance,
        "states": len(states.steps),
        "steps": drawn[0].steps,
        "torch": str(torch.__version__),
        "deployment_target": options.deployment_target,
        "layout": options.layout,
    }
