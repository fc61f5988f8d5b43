"""Decides which modules stay in float32 in the programs of an export, before anything is lowered.

- `checkpoint`, the default: what the checkpoint's configuration asks for.  With `upcast_attention` this is the
  attention of the U-Net; with `force_upcast` it is what is measured to need it in the autoencoder.
- `auto`: the same, and what is measured to need it in every stage.
- `none`: nothing, float16 everywhere.
- names: exactly these modules.

What is measured is in export/mixed; the limits are those of the parity gates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from export.job.calibration import Samples
from export.job.plan import ExportPlan
from export.mixed.choose import Choice, Margin, choose
from export.mixed.names import AUTO, CHECKPOINT, NONE, check, covers, parse, spelled
from export.mixed.rounded import Outputs
from export.parity.gates import limits
from export.parity.measure import without_output
from export.runtime import Runtime
from export.signatures import PARTS
from export.stages import build_stage
from export.targets import half_program
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.decibels import snr_db, worst
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.formats.checkpoint_files import builders
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.schedule import step_table

SCORES = ("unet.*.attn1:own", "unet.*.attn2:own")
"""What `upcast_attention` means: the scores, the softmax and the weighted sum of every attention of the U-Net."""
MOST_TRIALS, MOST_TRIALS_LARGE = 150, 60
"""Sets of modules that are tried per stage; for a large model each takes many seconds."""


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
    source: AnyModel, plan: ExportPlan, samples: Samples, progress: Progress = silent
) -> tuple[ExportPlan, tuple[Choice, ...]]:
    """Return the plan with the names of the modules in every runtime's options, and what was measured for them.

    `samples` are inputs of the stages in `measured_stages`.
    """
    measured, choices, runtimes = measured_stages(source.config, plan), list[Choice](), list[Runtime]()
    for runtime in plan.runtimes:
        names = list(asked(source.config, runtime))
        for stage in measured.get(runtime.name, ()):
            choice = measure(source, runtime, stage, samples[stage], names, plan.large, progress)
            choices.append(choice)
            names += [name for name in choice.names if name not in names]
        runtimes.append(with_names(runtime, names))
    return replace(plan, runtimes=tuple(runtimes)), tuple(choices)


def with_names(runtime: Runtime, names: Sequence[str]) -> Runtime:
    """Return a runtime whose options name modules; unchanged if it has no float16."""
    return runtime.mixed(spelled(names) if names else NONE) if runtime.takes_names else runtime


def measure(
    source: AnyModel,
    runtime: Runtime,
    stage: str,
    samples: Sequence[Any],
    asked: Iterable[str],
    large: bool,
    progress: Progress = silent,
) -> Choice:
    """Choose the modules of one stage; `asked` stay in float32 in any case."""
    half = half_program(runtime, build_stage(source, stage))
    names = tuple(asked)
    trials = MOST_TRIALS_LARGE if large else MOST_TRIALS
    margin = margin_of(source.config, stage, runtime.precision)
    return choose(half, samples, margin, lambda module: covers(names, stage, module), trials, progress)


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
