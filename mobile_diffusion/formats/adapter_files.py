"""Reads LoRA files as adapters that a drawing turns on and off (`--adapter`), apart from the weights.

lora.py finds the layers of a file and its scales; adapted.py says how the factors are arranged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mobile_diffusion.adapter_config import AdaptedLayer, AdapterConfig, columns_of
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles
from mobile_diffusion.formats.lora import LoraUpdate, finite, lora_adapter
from mobile_diffusion.formats.lora_file import opened
from mobile_diffusion.quoting import quoted

NAME = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
EARLY = ("time_embedding.", "add_embedding.", "context_embedding.")
"""Beginnings of the names of layers whose results are in an exported table, or part of one."""
PLAIN = {"down", "up", "alpha"}
"""Roles of the tensors of a plain LoRA."""
MERGE = "merge it with --lora instead"


@dataclass(frozen=True)
class AdapterFile:
    """A LoRA that fits a model, and whose factors have not been read."""

    name: str
    files: tuple[Path, ...]
    updates: tuple[LoraUpdate, ...]

    @property
    def rank(self) -> int:
        """The largest rank of its modules."""
        return max(update.module.rank or 0 for update in self.updates)


def check_name(name: str) -> str:
    """The name of an adapter, which is also that of a file; raises ConfigError for one that cannot be used."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"--adapter: expected a name of letters, digits, - and _, got {quoted(name)}; rename it")
    return name


def open_adapter(name: str, path: Path, source: CheckpointFiles) -> AdapterFile:
    """Find the layers of a LoRA in the U-Net of `source`.

    Raises ConfigError for a name that cannot be used.  Raises CheckpointError where `lora_adapter` does, and for a
    LoRA that changes another network, or that is not two plain factors per layer.
    """
    check_name(name)
    found = lora_adapter(path, 1.0, source)
    others = [part for part in found.updates if part != "unet"]
    if others:
        raise CheckpointError(f"{path}: expected an adapter of the U-Net alone, got one of the {others[0]}; {MERGE}")
    for update in found.updates["unet"]:
        if not update.module.tensors.keys() <= PLAIN or update.bias:
            kind = "a bias or a decomposition" if update.module.rank else "none"
            expected = "expected two factors per layer, as of a plain LoRA"
            raise CheckpointError(f"{path}: {quoted(update.module.name)}: {expected}, got {kind}; {MERGE}")
        if update.layer.startswith(EARLY):
            expected = "expected layers that read the picture"
            raise CheckpointError(f"{path}: {expected}, got {quoted(update.module.name)}; {MERGE}")
    return AdapterFile(name, found.files, found.updates["unet"])


def room_for(adapters: Sequence[AdapterFile], source: CheckpointFiles) -> AdapterConfig:
    """Room for adapters: their largest rank, and every layer that one of them changes, in the U-Net's order.

    Raises ConfigError for two adapters of one name.
    """
    names = tuple(adapter.name for adapter in adapters)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"--adapter: expected each name once, got {quoted(twice)} twice; rename one")
    changed = {update.layer for adapter in adapters for update in adapter.updates}
    shapes = {name.removesuffix(".weight"): each.shape for name, each in source.layouts["unet"].items()}
    layers = tuple(
        AdaptedLayer(name, int(np.prod(shape[1:])), shape[0]) for name, shape in shapes.items() if name in changed
    )
    return AdapterConfig(names, max(adapter.rank for adapter in adapters), layers)


def read_factors(adapter: AdapterFile, config: AdapterConfig) -> NDArray[np.float32]:
    """The factors (r, P) of one adapter, with its own scale in them; zeros where it has none.

    Raises CheckpointError for a layer that the model has no room for, a higher rank, and NaN or inf.
    """
    file, places = adapter.files[0], columns_of(config)
    if adapter.rank > config.rank:
        reason = f"expected a rank up to {config.rank}, for which the model has room, got {adapter.rank}"
        raise CheckpointError(f"{file}: {reason}; export the model with this adapter")
    result = np.zeros((config.rank, config.width), np.float32)
    with opened(file) as stored:
        for update in adapter.updates:
            place = places.get(update.layer)
            if place is None:
                reason = f"expected layers that the model has room for, got {quoted(update.module.name)}"
                raise CheckpointError(f"{file}: {reason}; export the model with this adapter")
            names = update.module.tensors
            down, up = (finite(file, stored, names[role]) for role in ("down", "up"))
            rank = down.shape[0]
            result[:rank, place.down : place.down_end] = _by_position(down)
            start = config.down_width
            result[:rank, start + place.up : start + place.up_end] = (update.factor * up.flatten(1).T).numpy()
    return result


def _by_position(down: Tensor) -> NDArray[np.float32]:
    """A factor "down" (r, in) or (r, in, kh, kw) as (r, kh * kw * in)."""
    moved: NDArray[np.float32] = down.flatten(2).transpose(1, 2).flatten(1).numpy() if down.ndim > 2 else down.numpy()
    return moved
