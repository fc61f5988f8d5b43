"""Merges LoRA files into the weights while these are read: W + scale * alpha / rank * difference (Hu et al. 2021).

LoRA, LoHa, LoKr and whole differences of linear layers, convolutions, norms and their biases are supported, each also
with DoRA (lora_delta.py), with the names of kohya, LyCORIS, diffusers and peft (lora_names.py).  Before a weight is
read, every module of the file is checked against the model: it must exist there with a matching shape.  No module is
skipped.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles
from mobile_diffusion.formats.lora_delta import Role, decompose, magnitude_of
from mobile_diffusion.formats.lora_file import LoraModule, opened, read_lora_file
from mobile_diffusion.formats.lora_names import folder_of
from mobile_diffusion.formats.lora_places import biases, find_places
from mobile_diffusion.formats.lora_scales import read_rules, warn_of_missing
from mobile_diffusion.quoting import quoted


@dataclass(frozen=True)
class LoraUpdate:
    """What one module of a LoRA adds to a layer."""

    file: Path
    layer: str
    """Our name of the layer, without `.weight`."""
    module: LoraModule
    factor: float
    """Multiplies the weight's difference, and the bias of `up`: scale * alpha / rank."""
    scale: float
    """Multiplies the bias's difference."""
    bias: tuple[Role, ...]
    """Which of `up_bias` and `diff_b` to add."""


@dataclass(frozen=True)
class LoraAdapter:
    """LoRAs that fit a model; an `Adapter` of `CheckpointFiles`."""

    files: tuple[Path, ...]
    """The LoRA file, then peft's configuration beside it if it was read."""
    updates: Mapping[str, tuple[LoraUpdate, ...]]
    """Updates per network."""

    def __call__(self, part: str, state: dict[str, Tensor]) -> None:
        """Add the updates of network `part` to its float32 weights, in place.

        Weights that an option has removed (the last layers of the text encoder) are skipped.  Raises CheckpointError
        when a file has been damaged since it was opened, or contains NaN or inf.
        """
        originals: dict[str, Tensor] = {}
        again = _changed_again(self.updates.get(part, ()))
        for update, tensors in _read(self.updates.get(part, ()), state):
            weight = f"{update.layer}.weight"
            if weight in again:
                originals.setdefault(weight, state[weight].clone())
            _add(update, tensors, state, originals.get(weight, state[weight]))


def _changed_again(updates: Sequence[LoraUpdate]) -> set[str]:
    """The weights that a DoRA changes besides another LoRA: it needs their values before both."""
    seen: dict[str, list[LoraUpdate]] = defaultdict(list)
    for update in updates:
        seen[f"{update.layer}.weight"].append(update)
    return {weight for weight, changes in seen.items() if len(changes) > 1 and any(map(_is_decomposed, changes))}


def _is_decomposed(update: LoraUpdate) -> bool:
    return not update.module.tensors.keys().isdisjoint({"dora_scale", "magnitude"})


def _read(updates: Sequence[LoraUpdate], state: dict[str, Tensor]) -> Iterator[tuple[LoraUpdate, dict[Role, Tensor]]]:
    """Read the tensors of each update whose weight is in `state`, one module at a time, from each file in turn."""
    for file in dict.fromkeys(update.file for update in updates):
        with opened(file) as stored:
            for update in updates:
                if update.file == file and f"{update.layer}.weight" in state:
                    names = update.module.tensors.items()
                    yield update, {role: finite(file, stored, name) for role, name in names if role != "alpha"}


def finite(file: Path, stored: Any, name: str) -> Tensor:
    """Read a tensor of an opened file as float32; raise CheckpointError for NaN or inf."""
    tensor: Tensor = stored.get_tensor(name).float()
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"{file}: tensor {quoted(name)}: expected finite weights, got NaN or inf; fetch it again")
    return tensor


def _add(update: LoraUpdate, tensors: dict[Role, Tensor], state: dict[str, Tensor], original: Tensor) -> None:
    """Change a layer's weight and bias by one module; `original` is the weight before every LoRA."""
    weight = state[f"{update.layer}.weight"]
    if update.module.kind is not None:
        change = update.factor * update.module.kind.delta(tensors).reshape(weight.shape)
        magnitude = magnitude_of(tensors, weight)
        base = None if magnitude is None else original + change
        weight += change
        if magnitude is not None and base is not None:
            weight.copy_(decompose(weight, base, magnitude))
    for role in update.bias:
        state[f"{update.layer}.bias"] += tensors[role] * (update.factor if role == "up_bias" else update.scale)


def lora_adapter(path: Path, scale: float, source: CheckpointFiles) -> LoraAdapter:
    """Build the adapter that merges a LoRA into the networks of `source`.

    `path` is a file, or a folder that diffusers or peft wrote.  Raises ConfigError when the scale is not finite.
    Raises CheckpointError when the file is damaged, is not a LoRA that is supported, is for another model, or changes
    a module that the model does not have.
    """
    if not math.isfinite(scale):
        raise ConfigError(f"{path}: expected a finite scale of the LoRA, got {scale}")
    lora = read_lora_file(path, for_xl=source.config.unet.pooled_width > 0)
    places = find_places(lora, source)
    rules, files = read_rules(lora)
    warn_of_missing(lora)
    updates: dict[str, list[LoraUpdate]] = defaultdict(list)
    for module, (part, layer) in zip(lora.modules, places, strict=True):
        rank = module.rank
        own = (
            rules[folder_of(part, layer)].scale(module.name, rank)
            if module.alpha is None or rank is None
            else module.alpha / rank
        )
        bias = biases(lora.file, module, source.layouts[part], layer)
        updates[part].append(LoraUpdate(lora.file, layer, module, scale * own, scale, bias))
    return LoraAdapter((lora.file, *files), {part: tuple(changes) for part, changes in updates.items()})


def joined(adapters: Sequence[LoraAdapter]) -> LoraAdapter:
    """One adapter for several LoRAs, in order; a DoRA takes the lengths of the weights before all of them."""
    files = tuple(file for adapter in adapters for file in adapter.files)
    parts = dict.fromkeys(part for adapter in adapters for part in adapter.updates)
    changes = {
        part: tuple(update for adapter in adapters for update in adapter.updates.get(part, ())) for part in parts
    }
    return LoraAdapter(files, changes)
