"""Merges LoRA files into the weights while these are read: W + scale * alpha / rank * (up @ down) (Hu et al. 2021).

Linear layers and convolutions (LoCon) are supported, with the names of kohya, diffusers and peft (lora_names.py).
Before a weight is read, every module of the file is checked against the model: it must exist there with a matching
shape.  No module is skipped.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles
from mobile_diffusion.formats.lora_file import LoraFile, LoraModule, opened, read_lora_file
from mobile_diffusion.formats.lora_names import flatten, known_modules
from mobile_diffusion.formats.lora_scales import read_rules
from mobile_diffusion.quoting import quoted, shortened
from mobile_diffusion.tensor_layout import Shape


@dataclass(frozen=True)
class LoraUpdate:
    """What a LoRA adds to one weight: factor * (up @ down)."""

    weight: str
    """Our name of the weight."""
    up: str
    """The file's name of the tensor; so is `down`."""
    down: str
    factor: float


@dataclass(frozen=True)
class LoraAdapter:
    """A LoRA that fits a model; an `Adapter` of `CheckpointFiles`."""

    files: tuple[Path, ...]
    """The LoRA file, then peft's configuration beside it if it was read."""
    updates: Mapping[str, tuple[LoraUpdate, ...]]
    """Updates per network."""

    def __call__(self, part: str, state: dict[str, Tensor]) -> None:
        """Add the updates of network `part` to its float32 weights, in place.

        Weights that an option has removed (the last layers of the text encoder) are skipped.  Raises CheckpointError
        when the file has been damaged since it was opened, or contains NaN or inf.
        """
        with opened(self.files[0]) as stored:
            for update in self.updates.get(part, ()):
                if update.weight in state:
                    weight = state[update.weight]
                    up, down = self._read(stored, update.up), self._read(stored, update.down)
                    product = up.flatten(1) @ down.flatten(1)  # (out, in * kh * kw)
                    weight += update.factor * product.reshape(weight.shape)

    def _read(self, stored: Any, name: str) -> Tensor:
        tensor: Tensor = stored.get_tensor(name).float()
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{self.files[0]}: tensor {quoted(name)}: expected finite weights, got NaN or inf")
        return tensor


def lora_adapter(path: Path, scale: float, source: CheckpointFiles) -> LoraAdapter:
    """Build the adapter that merges a LoRA into the networks of `source`.

    `path` is a file, or a folder that diffusers or peft wrote.  Raises ConfigError when the scale is not finite.
    Raises CheckpointError when the file is damaged, is not a LoRA that is supported, is for another model, or changes
    a module that the model does not have.
    """
    if not math.isfinite(scale):
        raise ConfigError(f"{path}: expected a finite scale of the LoRA, got {scale}")
    lora = read_lora_file(path)
    places = _place(lora, source)
    rules, files = read_rules(lora)
    updates: dict[str, list[LoraUpdate]] = defaultdict(list)
    for module, (part, name) in zip(lora.modules, places, strict=True):
        weight = f"{name}.weight"
        _check_shape(lora.file, module, source.layouts[part][weight].shape)
        own = rules[part].scale(module.name, module.rank) if module.alpha is None else module.alpha / module.rank
        updates[part].append(LoraUpdate(weight, module.up, module.down, scale * own))
    return LoraAdapter((lora.file, *files), {part: tuple(changes) for part, changes in updates.items()})


def _place(lora: LoraFile, source: CheckpointFiles) -> list[tuple[str, str]]:
    """Find the network and our name of each module of the file.

    Raises CheckpointError when the model lacks a module, or when the file changes a module twice.
    """
    known = known_modules(source.config.unet, source.layouts)
    places: dict[tuple[str, str], LoraModule] = {}
    missing: list[LoraModule] = []
    for module in lora.modules:
        place = known.get(flatten(module.name))
        if place is None or module.part not in (None, place[0]):
            missing.append(module)
        elif place in places:
            got = f"{quoted(places[place].down)} and {quoted(module.down)}"
            raise CheckpointError(f"{lora.file}: expected each module once, got {got}; split the file")
        else:
            places[place] = module
    if missing:
        raise _not_there(lora, missing)
    return list(places)


def _not_there(lora: LoraFile, missing: list[LoraModule]) -> CheckpointError:
    """Build the error for modules that the model does not have; a slim model lacks those that were removed."""
    first, count, total = missing[0].down, len(missing), len(lora.modules)
    if count == total:
        reason = f"expected a LoRA for this model, got one with {total} modules that it lacks, such as {quoted(first)}"
        return CheckpointError(f"{lora.file}: {reason}; use another")
    names = ", ".join(module.name for module in missing[:3]) + (", ..." if count > 3 else "")
    fix = "use one that was trained for this model, or merge it before blocks are removed"
    return CheckpointError(f"{lora.file}: {count} of {total} modules are not in this model ({names}); {fix}")


def _check_shape(file: Path, module: LoraModule, expected: Shape) -> None:
    """Raise CheckpointError unless up @ down has the shape of the weight; 1x1 convolutions may be matrices."""
    got = module.shape
    if module.rank and _without_ones(got) == _without_ones(expected):
        return
    halves = f"{shortened(list(module.up_shape))} @ {shortened(list(module.down_shape))}"
    fix = "the LoRA is for another model, such as Stable Diffusion 2 in place of 1"
    raise CheckpointError(f"{file}: {quoted(module.name)}: expected a product of {list(expected)}, got {halves}; {fix}")


def _without_ones(shape: Shape) -> Shape:
    """A weight's shape without the kernel dimensions of a 1x1 convolution."""
    return shape[:2] if all(side == 1 for side in shape[2:]) else shape
