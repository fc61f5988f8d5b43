"""Chooses the modules of one runtime's programs that stay in float32, so that the gates of the export pass.

Each stage is measured by itself (export/mixed), also on the inputs that the gates will use, at every step.  Then
PyTorch draws what the gates will draw, rounded as the programs round, and the comparison is that of the gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from export.job.calibration import Samples, stage_inputs
from export.mixed.choose import MARGIN_DB, Choice, Effort, choose
from export.mixed.judge import Margin
from export.mixed.rounded import HalfProgram, Outputs
from export.parity.gates import limits, margin_db
from export.parity.measure import measure, without_output
from export.parity.trajectories import Trajectory
from export.runtime import Runtime
from export.signatures import signature
from export.stages import build_stage
from export.targets import half_program
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.decibels import snr_db, worst
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.schedule import step_table

LARGE_EFFORT = Effort(trials=60, proved=4)
"""For a large model, of which every call takes many seconds."""
MORE_DB, MOST_DB = 6.0, 12.0
"""Room that a stage gets each time a drawing fails because of it, and beyond which it is float32."""
CAUSES = {
    "prediction": ("denoise",),
    "free_running": ("encode_text", "denoise"),
    "picture": ("encode_text", "denoise", "decode_image"),
}
"""Check -> the stages whose programs can be the reason; any other check has its stage's name."""


@dataclass(frozen=True, eq=False)
class RoundedRunner:
    """Runs the stages with PyTorch, rounded as the programs of a runtime round, in one order of sums."""

    name: str
    config: ModelConfig
    programs: Mapping[str, HalfProgram]
    names: Sequence[str]
    """Of the modules that stay in float32."""
    order: int

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name."""
        half, inputs = self.programs[stage], {name: torch.from_numpy(array) for name, array in arrays.items()}
        results = half.run(inputs, half.named(self.names), order=self.order)
        specs = signature(self.config, stage).outputs
        return {spec.name: result.numpy() for spec, result in zip(specs, results, strict=True)}


@dataclass
class Search:
    """The choice of the modules of one runtime's programs."""

    source: AnyModel
    runtime: Runtime
    samples: Samples
    """Inputs of each stage that is chosen."""
    drawings: Sequence[Trajectory] = ()
    """What the gates will compare."""
    asked: Sequence[str] = ()
    """Names of modules that stay in float32 in any case."""
    large: bool = False
    """Whether a program is too large to be kept."""
    programs: dict[str, HalfProgram] = field(default_factory=dict)

    def choices(self, stages: Sequence[str], whole: bool, progress: Progress = silent) -> list[Choice]:
        """Choose stage by stage; if `whole` drawings are compared, they too must pass the gates with the choices.

        A stage at which one fails is chosen again with more room, and is float32 after that.
        """
        rooms = dict.fromkeys(stages, 0.0)
        found = {stage: self.choice(stage, progress=progress) for stage in stages}
        while whole and (failed := self.failed(found, progress)):
            for stage in failed:
                rooms[stage] += MORE_DB
                found[stage] = self.choice(stage, rooms[stage], progress)
        return list(found.values())

    def choice(self, stage: str, room_db: float = 0.0, progress: Progress = silent) -> Choice:
        """Choose the modules of one stage with more dB than it needs by itself; beyond MOST_DB, all of them."""
        half, settings = self.program(stage), DrawSettings.of(self.source.config)
        gates = stage_inputs(self.drawings, settings)[stage] if self.drawings else ()
        margin = margin_of(self.source.config, stage, self.runtime.precision)
        always = half.named((stage,) if room_db > MOST_DB else self.asked)
        effort = LARGE_EFFORT if self.large else Effort()
        return choose(half, self.samples[stage], margin, always, effort, gates, room_db, progress)

    def program(self, stage: str) -> HalfProgram:
        """What float16 touches in the program of a stage."""
        found = self.programs.get(stage) or half_program(self.runtime, build_stage(self.source, stage))
        if not self.large:
            self.programs[stage] = found
        return found

    def failed(self, choices: Mapping[str, Choice], progress: Progress) -> list[str]:
        """Return the stages that are not all float32 and because of which a drawing passes a limit by too little."""
        config = self.source.config
        settings, table = DrawSettings.of(config), step_table(config.schedule)
        programs = {stage: self.program(stage) for stage in choices}
        names = [*self.asked, *(name for choice in choices.values() for name in choice.names)]
        causes: set[str] = set()
        for order, drawn in enumerate(self.drawings):
            progress("drawing in float16 with PyTorch", order / len(self.drawings))
            runner = RoundedRunner(self.runtime.name, config, programs, names, order)
            guidance = drawn.guidance if settings.guidance_kind == "cfg" else 1.0
            found, _ = measure(runner.name, runner, drawn, settings, table)
            for each in found:
                if not margin_db(each, self.runtime.precision, guidance) >= MARGIN_DB:
                    causes.update(CAUSES.get(each.check, (each.check,)))
        return [stage for stage, choice in choices.items() if stage in causes and stage not in choice.names]


def margin_of(config: ModelConfig, stage: str, precision: str) -> Margin:
    """Return by how many dB a stage's outputs pass the nearest limit of the gates."""
    settings, table = DrawSettings.of(config), step_table(config.schedule)
    guidance = settings.guidance if settings.guidance_kind == "cfg" else 1.0
    checks = (stage, "prediction") if stage == "denoise" else (stage,)
    least = {check: limit.at_least for check in checks for limit in limits(precision, check, guidance)}

    def margin(sample: Any, wanted: Outputs, got: Outputs) -> float:
        pairs = {stage: (joined(wanted), joined(got))}
        if stage == "denoise":
            given = {name: value.numpy() for name, value in sample.items()}
            rest, factor = without_output(given, table)
            pairs["prediction"] = ((wanted[0].numpy() - rest) / factor, (got[0].numpy() - rest) / factor)
        return worst(snr_db(*pairs[check]) - limit for check, limit in least.items())

    return margin


def joined(outputs: Outputs) -> np.ndarray:
    """Return the outputs of a stage as one array."""
    return np.concatenate([each.numpy() for each in outputs], axis=1) if len(outputs) > 1 else outputs[0].numpy()
