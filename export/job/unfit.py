"""What to say when programs do not compute what PyTorch computes: where float16 is too small, and the way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import torch
from numpy.typing import NDArray
from torch import Tensor

from export.job.mixed import SCORES, margin_of
from export.job.plan import ExportPlan
from export.mixed.departure import find_departure
from export.mixed.names import AUTO, covers, names_of
from export.mixed.rounded import HalfProgram, everything
from export.parity.gates import Failure
from export.parity.measure import FREE_CHECKS
from export.parity.report import ParityReport
from export.parity.trajectories import Trajectory, latents_of
from export.signatures import IMAGE_STAGES
from export.stages import build_stage
from export.targets import Runtime, half_program
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ParityError

STAGES_OF = {"prediction": "denoise", "free_running": "denoise", "picture": "decode_image"}
"""Check -> the stage to look at; any other check has its stage's name."""


def explain(source: AnyModel, plan: ExportPlan, parity: ParityReport, trajectories: Sequence[Trajectory]) -> NoReturn:
    """Raise the `ParityError` of a report that did not pass; it says where float16 is the reason, and the way out."""
    reasons = [
        reason
        for runtime in plan.compared
        if runtime.has_half
        for reason in _reasons(source, runtime, parity.failures, trajectories)
    ]
    try:
        parity.require()
    except ParityError as error:
        raise ParityError("; ".join([*reasons, str(error)])) from None
    raise ParityError("expected a report that did not pass, got one that did")


def _reasons(
    source: AnyModel, runtime: Runtime, failures: Sequence[Failure], trajectories: Sequence[Trajectory]
) -> Iterator[str]:
    """The reason of a runtime's first failing stage, if float16 is it."""
    own = [failure for failure in failures if failure.measurement.runtime == runtime.name]
    if not own:
        return
    first = min(own, key=lambda each: IMAGE_STAGES.index(stage_of(each)))
    stage = stage_of(first)
    half = half_program(runtime, build_stage(source, stage))
    reason = reason_of(source.config, runtime, half, first, inputs_of(source.config, first, trajectories))
    if reason:
        yield reason


def stage_of(failure: Failure) -> str:
    """The stage whose program a failure is about."""
    return STAGES_OF.get(failure.measurement.check, failure.measurement.check)


def reason_of(
    config: ModelConfig, runtime: Runtime, half: HalfProgram, failure: Failure, inputs: Mapping[str, Tensor]
) -> str:
    """The module and the operation where float16 leaves PyTorch, and what to do; "" if float16 is not the reason."""
    names = names_of(runtime.mixed_precision)

    def wide(module: str) -> bool:
        return covers(names, half.stage, module)

    outputs = half.run(inputs, everything), half.run(inputs, wide)
    margin = margin_of(config, half.stage, runtime.precision)(inputs, *outputs)
    accumulated = failure.measurement.check in FREE_CHECKS
    departure = find_departure(half, inputs, wide) if accumulated or not margin >= 0 else None
    if departure is None:
        return ""
    chosen = bool(set(names) - set(SCORES))
    return f"{runtime.name} {half.stage}: {departure}; give --mixed-precision {half.stage if chosen else AUTO}"


def inputs_of(config: ModelConfig, failure: Failure, trajectories: Sequence[Trajectory]) -> dict[str, Tensor]:
    """The reference's inputs of the stage in a comparison that failed."""
    settings, found, stage = DrawSettings.of(config), failure.measurement, stage_of(failure)
    drawn = next(each for each in trajectories if str(each.case) == found.case)
    arrays: Mapping[str, NDArray[Any]]
    if stage == "encode_text":
        arrays = drawn.prompts["context"]
    elif stage == "denoise":
        arrays = drawn.step_inputs((found.step or drawn.first) - drawn.first, settings)
    elif stage == "decode_image":
        arrays = {"latents": latents_of(drawn.states[-1:], settings)}
    else:
        assert drawn.source is not None
        arrays = {"image": drawn.source}
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
