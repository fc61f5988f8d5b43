"""What to say when programs do not compute what PyTorch computes: where float16 is too small, and the way out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import torch
from numpy.typing import NDArray
from torch import Tensor

from export.job.mixed import SCORES
from export.job.mixed_search import margin_of
from export.job.plan import ExportPlan
from export.mixed.departure import Departure, apart, find_departure
from export.mixed.names import AUTO, names_of
from export.mixed.rounded import HalfProgram, everything
from export.parity.gates import Failure
from export.parity.measure import FREE_CHECKS, Measurement
from export.parity.report import ParityReport
from export.parity.trajectories import Trajectory, latents_of
from export.runtime import Runtime
from export.signatures import EVERY_STAGE, HINT
from export.stages import build_stage
from export.targets import half_program
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.decibels import db_text
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ParityError

STAGES_OF = {"prediction": "denoise", "free_running": "denoise", "picture": "decode_image"}
"""Check -> the stage to look at; any other check has its stage's name."""


def explain(source: AnyModel, plan: ExportPlan, parity: ParityReport, trajectories: Sequence[Trajectory]) -> NoReturn:
    """Raise the `ParityError` of a report that did not pass; it says where float16 is the reason, and the way out."""
    firsts = {runtime: _first(parity.failures, runtime.name) for runtime in plan.compared if runtime.has_half}
    reasons = [
        reason_of(source, runtime, first, trajectories, plan.large)
        for runtime, first in firsts.items()
        if first is not None
    ]
    try:
        parity.require()
    except ParityError as error:
        raise ParityError("; ".join([*filter(None, reasons), str(error)])) from None
    raise ParityError("expected a report that did not pass, got one that did")


def check_unrun(source: AnyModel, plan: ExportPlan, trajectories: Sequence[Trajectory]) -> None:
    """Raise `ParityError` if float16 is too small for a program that cannot run here: PyTorch rounds in its place."""
    for runtime in plan.runtimes:
        for stage in plan.stages if runtime.has_half and not runtime.runs_here else ():
            half = half_program(runtime, build_stage(source, stage))
            drawn = trajectories[-1]
            inputs = inputs_of(source.config, stage, drawn)
            departure = departure_of(source.config, runtime, half, inputs)
            if departure is not None:
                raise ParityError(f"{runtime.name} {stage}: {departure}; give {way_out(runtime, stage)}")


def _first(failures: Sequence[Failure], runtime: str) -> Measurement | None:
    """The first failure of a runtime, in the order of the stages."""
    own = [failure.measurement for failure in failures if failure.measurement.runtime == runtime]
    return min(own, key=lambda each: EVERY_STAGE.index(stage_of(each)), default=None)


def stage_of(failed: Measurement) -> str:
    """The stage whose program a comparison is about."""
    return STAGES_OF.get(failed.check, failed.check)


def reason_of(
    source: AnyModel, runtime: Runtime, failed: Measurement, trajectories: Sequence[Trajectory], large: bool = False
) -> str:
    """The module and the operation where float16 leaves PyTorch, and what to do; "" if float16 is not the reason.

    Of a network that is not `large`, it also finds out whether float32 itself is the reason.
    """
    stage = stage_of(failed)
    drawn = next(each for each in trajectories if str(each.case) == failed.case)
    half = half_program(runtime, build_stage(source, stage))
    inputs = inputs_of(source.config, stage, drawn, failed.step)
    blurred = "" if large else unstable(source, stage, inputs, runtime.precision)
    if blurred:
        return f"{runtime.name} {stage}: {blurred}"
    departure = departure_of(source.config, runtime, half, inputs, accumulated=failed.check in FREE_CHECKS)
    if departure is None:
        return ""
    return f"{runtime.name} {stage}: {departure}; give {way_out(runtime, stage)}"


@torch.inference_mode()
def unstable(source: AnyModel, stage: str, inputs: Mapping[str, Tensor], precision: str) -> str:
    """Why no program can have PyTorch's result: float32 and float64 differ by more than the limits; "" if it can."""
    module = build_stage(source, stage).module
    single = listed(module(**inputs))
    wide = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
    exact = tuple(each.float() for each in listed(copy.deepcopy(module).double()(**wide)))
    if margin_of(source.config, stage, precision)(inputs, exact, single) >= 0:
        return ""
    return (
        f"PyTorch in float32 is {db_text(apart(exact, single))} from itself in float64: no program can have its result"
    )


def listed(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The outputs of a stage's module, also of one that has a single output."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def way_out(runtime: Runtime, stage: str) -> str:
    """The option that keeps what leaves float16 in float32; all of the stage where a measurement did not do."""
    if not runtime.takes_names:
        return runtime.whole
    measured = bool(set(names_of(runtime.mixed_precision)) - set(SCORES))
    return f"--mixed-precision {stage if measured else AUTO}"


def departure_of(
    config: ModelConfig, runtime: Runtime, half: HalfProgram, inputs: Mapping[str, Tensor], accumulated: bool = False
) -> Departure | None:
    """Where float16 leaves PyTorch; None if one call passes the limits and errors have not `accumulated` over many."""
    wide = half.named(names_of(runtime.mixed_precision))
    outputs = half.run(inputs, everything), half.run(inputs, wide)
    margin = margin_of(config, half.stage, runtime.precision)(inputs, *outputs)
    return find_departure(half, inputs, wide) if accumulated or not margin >= 0 else None


def inputs_of(config: ModelConfig, stage: str, drawn: Trajectory, step: int | None = None) -> dict[str, Tensor]:
    """The reference's inputs of a stage; of `denoise` at one step of a measurement, by default the first."""
    settings = DrawSettings.of(config)
    arrays: Mapping[str, NDArray[Any]]
    if stage == "encode_text":
        arrays = drawn.texts[0]
    elif stage == "denoise":
        arrays = drawn.step_inputs(0 if step is None else step - drawn.step(0, settings), settings)
    elif stage == "decode_image":
        arrays = {"latents": latents_of(drawn.states[-1:], settings)}
    elif stage == HINT:
        assert drawn.hints is not None
        arrays = {"hints": drawn.hints}
    else:
        assert drawn.source is not None
        arrays = {"image": drawn.source}
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
