"""Decides which modules stay in float32 in the programs of an export, before anything is lowered.

- `checkpoint`, the default: what the checkpoint's configuration asks for.  With `upcast_attention` this is the
  attention of the U-Net; with `force_upcast` it is what is measured to need it in the autoencoder.
- `auto`: the same, and what is measured to need it in every stage.
- `none`: nothing, float16 everywhere.
- names: exactly these modules.

What is measured is in mixed_search.py and export/mixed; the limits are those of the parity gates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import nn

from export.job.calibration import Samples
from export.job.mixed_search import Search
from export.job.plan import ExportPlan
from export.mixed.choose import Choice
from export.mixed.names import AUTO, CHECKPOINT, NONE, check, parse, spelled
from export.parity.trajectories import Trajectory
from export.runtime import Runtime
from export.signatures import PARTS
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.formats.checkpoint_files import builders
from mobile_diffusion.progress import Progress, silent

SCORES = ("unet.*.attn1:own", "unet.*.attn2:own")
"""What `upcast_attention` means: the scores, the softmax and the weighted sum of every attention of the U-Net."""


def measured_stages(config: ModelConfig, plan: ExportPlan) -> dict[str, tuple[str, ...]]:
    """Return the stages that must be measured, by runtime; a runtime without any is left out."""
    found = {runtime.name: tuple(_measured(config, plan, runtime)) for runtime in plan.runtimes}
    return {name: stages for name, stages in found.items() if stages}


def _measured(config: ModelConfig, plan: ExportPlan, runtime: Runtime) -> Iterator[str]:
    choice = runtime.mixed_precision
    asks = getattr(config.autoencoder, "force_upcast", False) and not runtime.half_weights
    forced = choice == CHECKPOINT and asks
    for stage in plan.stages:
        if choice == AUTO or (forced and PARTS[stage] == "autoencoder"):
            yield stage


def needs_trajectories(plan: ExportPlan) -> bool:
    """Return whether whole drawings are measured, and not just what a decoder reads."""
    return any(runtime.mixed_precision == AUTO for runtime in plan.runtimes)


def asked(config: ModelConfig, runtime: Runtime) -> tuple[str, ...]:
    """Return the names that are known without a measurement: a user's, or what the checkpoint asks for."""
    choice = runtime.mixed_precision
    if choice == NONE:
        return ()
    if choice in (AUTO, CHECKPOINT):
        return SCORES if config.unet.upcast_attention and runtime.takes_names and not runtime.half_weights else ()
    return parse(choice)


def check_names(config: ModelConfig, plan: ExportPlan) -> None:
    """Raise `ConfigError` if a user's name means no module of the model; builds no weights."""
    named = [runtime for runtime in plan.runtimes if runtime.mixed_precision not in (AUTO, CHECKPOINT, NONE)]
    if named:
        known = [(stage, _modules(config, stage)) for stage in plan.stages]
        for runtime in named:
            check(parse(runtime.mixed_precision), known)


def _modules(config: ModelConfig, stage: str) -> list[str]:
    with torch.device("meta"):
        network: nn.Module = builders(config)[PARTS[stage]]()
    return [f"{PARTS[stage]}.{name}" if name else PARTS[stage] for name, _ in network.named_modules()]


def decide(
    source: AnyModel,
    plan: ExportPlan,
    samples: Samples,
    drawings: Sequence[Trajectory] = (),
    progress: Progress = silent,
) -> tuple[ExportPlan, tuple[Choice, ...]]:
    """Return the plan with the names of the modules in every runtime's options, and what was measured for them.

    `samples` are inputs of the stages in `measured_stages`; `drawings` are those that the gates will compare.
    """
    measured, choices, runtimes = measured_stages(source.config, plan), list[Choice](), list[Runtime]()
    for runtime in plan.runtimes:
        names = asked(source.config, runtime)
        if runtime.name in measured:
            search = Search(source, runtime, samples, drawings, names, plan.large)
            whole = runtime.mixed_precision == AUTO and plan.depth == "trajectory"
            found = search.choices(measured[runtime.name], whole, progress)
            choices += found
            names = tuple(dict.fromkeys([*names, *(name for choice in found for name in choice.names)]))
        runtimes.append(with_names(runtime, names))
    return replace(plan, runtimes=tuple(runtimes)), tuple(choices)


def with_names(runtime: Runtime, names: Sequence[str]) -> Runtime:
    """Return a runtime whose options name modules; unchanged if it has no float16."""
    return runtime.mixed(spelled(names) if names else NONE) if runtime.takes_names else runtime
