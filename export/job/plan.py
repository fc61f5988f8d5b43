"""How an export is made: its runtimes and stages, the depth of its checks, and how it saves memory.

A small model is held in memory whole and checked over whole trajectories.  A large one, like Stable Diffusion, is
loaded one network at a time, each stage is lowered in its own process, and one step and one decoding are checked,
because a trajectory would take many minutes.  Every report shows the choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from export.parity.measure import DEPTHS, planned_checks
from export.runners.runner import check_threads
from export.runtime import Runtime, RuntimeOptions
from export.signatures import HINT, IMAGE_STAGES, STAGES
from export.targets import Target, check_requirement
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.formats.checkpoint_files import builders
from mobile_diffusion.quoting import quoted

HALF = "fp16"
CALIBRATED = {"xnnpack": ("int8",), "onnx": ("int8", "w8a16"), "qnn": ("int8", "w8a16")}
"""Precisions whose ranges are fixed when the model is exported: an adapter that is turned on may leave them."""
LARGE = 150_000_000
"""A model is large if its U-Net has at least so many parameters: 8 guided steps then take minutes on a computer."""


@dataclass(frozen=True)
class ExportPlan:
    """Choices of one export."""

    runtimes: tuple[Runtime, ...]
    """The first is the primary one."""
    stages: tuple[str, ...]
    depth: str
    """One of DEPTHS."""
    large: bool
    """Whether to hold one network in memory at a time, and lower each stage in its own process."""
    threads: int

    @property
    def compared(self) -> tuple[Runtime, ...]:
        """The runtimes whose programs are run here and compared with PyTorch."""
        return tuple(runtime for runtime in self.runtimes if runtime.runs_here)

    @property
    def calibrated(self) -> bool:
        """Whether a runtime needs inputs recorded while PyTorch draws."""
        return any(runtime.options is not None and runtime.options.calibrated for runtime in self.runtimes)

    @property
    def checks(self) -> tuple[str, ...]:
        """The planned parity checks."""
        return planned_checks(self.depth, "encode_image" in self.stages, HINT in self.stages)


def plan_export(
    config: ModelConfig,
    target: Target,
    runtimes: Sequence[str] = (),
    images: bool = False,
    depth: str | None = None,
    threads: int = 2,
    options: Mapping[str, RuntimeOptions] | None = None,
    precision: str | None = None,
    mixed_precision: str | None = None,
) -> ExportPlan:
    """The plan for a model; the target's default runtimes, and the depth that suits the model's size, unless told.

    `options` are choices by the name of the runtime they are for; `precision` is of every runtime, `mixed_precision` of
    those with float16.  Raises `ConfigError` for a runtime that the target does not have, a precision that one does
    not have, `mixed_precision` without float16, an unknown depth, or choices for a runtime that is not exported;
    `ExportError` for a runtime that lacks something on this computer.
    """
    check_threads(threads)
    if depth is not None and depth not in DEPTHS:
        raise ConfigError(f"check: expected one of {', '.join(DEPTHS)}, got {quoted(depth)}")
    large = parameter_count(config) >= LARGE
    chosen = depth or ("step" if large else "trajectory")
    given, named = options or {}, _choose(target, runtimes)
    _check_used(target, given, named)
    found = tuple(runtime.chosen(given[runtime.name]) if runtime.name in given else runtime for runtime in named)
    if precision is not None:
        found = _at_precision(target, found, precision)
    if mixed_precision is not None:
        found = _at_mixed_precision(target, found, mixed_precision)
    if config.adapters is not None:
        _check_adapters(found)
    for runtime in found:
        check_requirement(runtime)
        _check_tiles(config, runtime)
    stages = (*(IMAGE_STAGES if images or config.task != "draw" else STAGES), *((HINT,) if config.controls else ()))
    return ExportPlan(found, stages, chosen, large, threads)


def _check_adapters(runtimes: Sequence[Runtime]) -> None:
    """Raise `ConfigError` for a precision whose ranges are fixed."""
    for runtime in runtimes:
        if runtime.grade in CALIBRATED.get(runtime.name, ()):
            expected = "expected a precision that is not calibrated, such as fp16, beside adapters"
            raise ConfigError(f"--precision: {expected}, got {runtime.name} at {runtime.grade}; or merge with --lora")


def parameter_count(config: ModelConfig) -> int:
    """Parameters of the U-Net, counted without allocating it."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in builders(config)["unet"]().parameters())


def _check_tiles(config: ModelConfig, runtime: Runtime) -> None:
    """Raise `ConfigError` for tiles that would be images of whole numbers: the loop blends tensors."""
    if config.tile_shape != config.latent_shape and getattr(runtime.options, "pixel_buffer", False):
        raise ConfigError("pixel_buffer: expected a picture that is decoded whole, got tiles; export it without one")


def _check_used(target: Target, given: Mapping[str, RuntimeOptions], chosen: Sequence[Runtime]) -> None:
    """Raise `ConfigError` for choices, other than the default ones, for a runtime that is not exported."""
    names = [runtime.name for runtime in chosen]
    for runtime in target.runtimes:
        options = given.get(runtime.name)
        if options is not None and options != runtime.options and runtime.name not in names:
            raise ConfigError(
                f"runtime: expected {runtime.name}, for which there are options, got {', '.join(names)}; "
                f"add --runtime {runtime.name} or leave the options out"
            )


def _at_precision(target: Target, chosen: Sequence[Runtime], precision: str) -> tuple[Runtime, ...]:
    """The runtimes with that arithmetic; raises `ConfigError` naming the target's runtimes that have it."""
    if target.precisions and precision not in target.precisions:
        choices = ", ".join(target.precisions)
        raise ConfigError(f"precision: expected one of {choices} for {target.title}, got {quoted(precision)}")
    try:
        return tuple(runtime.at(precision) for runtime in chosen)
    except ConfigError as error:
        having = [f"--runtime {runtime.name}" for runtime in target.runtimes if runtime.has(precision)]
        fix = f"; give {' or '.join(having)}" if having else ""
        raise ConfigError(f"{error}{fix}") from None


def _at_mixed_precision(target: Target, chosen: Sequence[Runtime], mixed_precision: str) -> tuple[Runtime, ...]:
    """The runtimes with that choice of float32 modules where they have float16; `ConfigError` if none of them has."""
    if not any(runtime.takes_names for runtime in chosen):
        found = ", ".join(f"{runtime.name} at {runtime.precision}" for runtime in chosen)
        expected = " or ".join(_with_names(target))
        raise ConfigError(f"mixed_precision: expected {expected}, got {found}")
    return tuple(runtime.mixed(mixed_precision) if runtime.takes_names else runtime for runtime in chosen)


def _with_names(target: Target) -> Iterator[str]:
    """The runtimes of a target that can keep modules in float32, with what they need for it."""
    for runtime in target.runtimes:
        if runtime.takes_names:
            yield runtime.name
        elif runtime.has(HALF) and runtime.at(HALF).takes_names:
            yield f"{runtime.name} with --precision {HALF}"


def _choose(target: Target, names: Sequence[str]) -> tuple[Runtime, ...]:
    known = {runtime.name: runtime for runtime in target.runtimes}
    for name in names:
        if name not in known:
            raise ConfigError(f"runtime: expected one of {', '.join(known)} for {target.name}, got {quoted(name)}")
    return tuple(known[name] for name in dict.fromkeys(names or target.defaults))
