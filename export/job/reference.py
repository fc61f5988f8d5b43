"""The reference of parity: what PyTorch computes while it draws the cases of a plan."""

from __future__ import annotations

from collections.abc import Sequence

from export.job.plan import ExportPlan
from export.parity.record import record
from export.parity.trajectories import Case, Trajectory, chosen_cases, redrawn_case
from export.runners import Runner
from export.runners.sequential import SequentialRunner, release
from export.runners.torch import TorchRunner
from mobile_diffusion.adapters import Adapters
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.tokenization.tokenizer import Tokenizer


def open_reference(source: AnyModel, plan: ExportPlan) -> Runner:
    """A runner of PyTorch; for a large model it holds one network at a time."""
    if not plan.large:
        return TorchRunner.from_model(source, plan.threads, plan.stages)
    return SequentialRunner("torch", plan.threads, lambda stage: TorchRunner.from_model(source, plan.threads, (stage,)))


def record_cases(
    reference: Runner,
    tokenizer: Tokenizer,
    settings: DrawSettings,
    cases: Sequence[Case],
    plan: ExportPlan,
    adapters: Adapters | None = None,
) -> list[Trajectory]:
    """Record every case with the schedule's default guidance; at depth "step" only one."""
    chosen = chosen_cases(cases, plan.depth, settings)
    trajectories = [record(reference, tokenizer, settings, case, plan.depth, adapters=adapters) for case in chosen]
    if "encode_image" in plan.stages:
        case, source = redrawn_case(settings), trajectories[0].image
        trajectories.append(record(reference, tokenizer, settings, case, plan.depth, source, adapters))
    release(reference)
    return trajectories
