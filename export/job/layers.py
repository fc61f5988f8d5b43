"""What the layers of every stage compute while PyTorch draws the first golden case: `layers.json`.

A layer is a module without modules inside.  Its largest number is that of everything it reads and returns, over all
recorded steps; a number beyond float16's range becomes infinity on a runtime that computes in float16.  What float16
does to each layer alone is computed here, too.  The weights are counted where they are used first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.job.plan import ExportPlan
from export.parity.trajectories import Trajectory, latents_of
from export.runners.torch import torch_threads
from export.stages import build_stage
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.decibels import json_number, snr_db, worst
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import BundleError, ConfigError
from mobile_diffusion.quoting import shortened
from mobile_diffusion.strict_json import parse_json
from mobile_diffusion.tiles import latent_tiles

LAYERS_FILE = "layers.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Layer:
    """One module without modules inside."""

    stage: str
    module: str
    kind: str
    """Its class."""
    weights: int
    """Number of parameters."""
    largest: float | None
    """Largest magnitude that it read or returned; None for NaN or infinity."""
    half_db: float | None
    """Its result at the first call with inputs, weights and result in float16 in this layer alone, compared with
    float32; MAX_DB for equal, None for NaN."""


@dataclass(frozen=True)
class Layers:
    """The content of `layers.json`."""

    schema_version: int
    case: str
    """The golden case that was drawn."""
    layers: tuple[Layer, ...]
    """By stage, in the order in which they were first called."""

    def of(self, stage: str) -> list[Layer]:
        """The layers of one stage."""
        return [layer for layer in self.layers if layer.stage == stage]


def measure_layers(source: AnyModel, plan: ExportPlan, reference: Trajectory, settings: DrawSettings) -> Layers:
    """Run every stage in PyTorch, one at a time, on the inputs that were recorded while `reference` was drawn."""
    found: list[Layer] = []
    for stage, inputs in _inputs(reference, settings):
        if stage in plan.stages:
            found += _watch(stage, build_stage(source, stage).module, inputs, plan.threads)
    return Layers(SCHEMA_VERSION, str(reference.case), tuple(found))


def write_layers(folder: Path, layers: Layers) -> None:
    """Write `layers.json` into the folder of a bundle."""
    text = json.dumps(to_dict(layers), indent=1, allow_nan=False)
    (folder / LAYERS_FILE).write_text(text + "\n", encoding="utf-8")


def read_layers(folder: Path) -> Layers:
    """Read `layers.json` of a bundle; raises `BundleError` if it is malformed."""
    path = folder / LAYERS_FILE
    try:
        return from_dict(Layers, parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ConfigError) as error:
        got = shortened(f"{type(error).__name__}: {error}")
        raise BundleError(f"{path}: expected the layers of a model, got {got}; export the bundle again") from None


Inputs = Mapping[str, np.ndarray[Any, Any]]


def _inputs(reference: Trajectory, settings: DrawSettings) -> Iterator[tuple[str, list[Inputs]]]:
    """Stage and its recorded inputs, one mapping per call."""
    yield "encode_text", list(reference.texts)
    yield "denoise", [reference.step_inputs(number, settings) for number in range(reference.steps)]
    latents = latents_of(reference.states[-1:], settings)
    yield "decode_image", [{"latents": tile} for tile in latent_tiles(settings, latents)]


class _Watch:
    """Hooks on every layer of a module: its largest number, and at its first call what float16 alone does to it."""

    def __init__(self, module: nn.Module) -> None:
        self.leaves = {name: each for name, each in module.named_modules() if not any(True for _ in each.children())}
        self.largest: dict[str, float] = {}
        self.half_db: dict[str, float] = {}
        self._busy = False
        self._handles = [
            each.register_forward_hook(partial(self._note, name), with_kwargs=True)
            for name, each in self.leaves.items()
        ]

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()

    def _note(self, name: str, module: nn.Module, arguments: Any, named: dict[str, Any], result: Any) -> None:
        if self._busy:
            return
        values = (each for each in _tensors((arguments, tuple(named.values()), result)) if each.is_floating_point())
        highest = [self.largest.get(name, 0.0), *(float(each.abs().max()) for each in values if each.numel())]
        self.largest[name] = math.nan if any(map(math.isnan, highest)) else max(highest)
        if name not in self.half_db:
            self._busy = True
            self.half_db[name] = _in_half(module, arguments, named, result)
            self._busy = False


def _in_half(module: nn.Module, arguments: Any, named: dict[str, Any], result: Any) -> float:
    """The result with inputs, weights and result rounded to float16, and sums in float32, compared with `result`."""
    weights = {name: _rounded(each) for name, each in module.named_parameters()}
    given = [_rounded(each) for each in arguments], {name: _rounded(each) for name, each in named.items()}
    again = torch.func.functional_call(module, weights, tuple(given[0]), given[1])
    pairs = zip(_tensors(result), _tensors(again), strict=True)
    return worst(snr_db(wanted.numpy(), _rounded(got).numpy()) for wanted, got in pairs)


def _rounded(value: Any) -> Any:
    """A tensor of floats as float16 holds it, in float32; anything else as it is."""
    return value.half().float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _watch(stage: str, module: nn.Module, calls: Sequence[Inputs], threads: int) -> list[Layer]:
    watch, counted = _Watch(module), set[int]()
    with torch.inference_mode(), torch_threads(threads):
        for arrays in calls:
            module(**{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})
    watch.remove()
    return [
        Layer(
            stage,
            name or stage,
            type(watch.leaves[name]).__name__,
            _count(watch.leaves[name], counted),
            _digits(high),
            None if (ratio := json_number(watch.half_db[name])) is None else round(ratio, 1),
        )
        for name, high in watch.largest.items()
    ]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Iterable) and not isinstance(value, str | dict):
        for each in value:
            yield from _tensors(each)


def _count(module: nn.Module, counted: set[int]) -> int:
    """Parameters that were not counted before."""
    fresh = [each for each in module.parameters() if id(each) not in counted]
    counted.update(map(id, fresh))
    return sum(each.numel() for each in fresh)


def _digits(high: float) -> float | None:
    """Three digits are enough, and nearly the same on every processor."""
    return float(f"{high:.3g}") if math.isfinite(high) else None
