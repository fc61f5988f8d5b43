"""A LoRA file on disk: its modules, each with the names of its tensors; no weight is read but alphas."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.lora_names import Role, other_family, parse_name, unsupported_kind
from mobile_diffusion.tensor_layout import FLOATS, Shape, read_headers
from mobile_diffusion.weights import refuse_pickle

FOLDER_FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
"""What diffusers and peft call the file in a folder."""

Headers = dict[str, tuple[Shape, str]]


@dataclass(frozen=True)
class LoraModule:
    """One linear or convolution layer that a file changes."""

    name: str
    """As the file spells it, without the prefix that says the network."""
    part: str | None
    """The network, where the file says it."""
    down: str
    """Its tensor (rank, in) or (rank, in, kh, kw)."""
    up: str
    """Its tensor (out, rank) or (out, rank, 1, 1)."""
    down_shape: Shape
    up_shape: Shape
    alpha: float | None
    """None where no tensor says it."""

    @property
    def rank(self) -> int:
        """Rank of the product up @ down; 0 when the two do not fit together."""
        fits = min(len(self.down_shape), len(self.up_shape)) >= 2 and self.up_shape[1] == self.down_shape[0]
        return self.down_shape[0] if fits and all(side == 1 for side in self.up_shape[2:]) else 0

    @property
    def shape(self) -> Shape:
        """Shape of the product."""
        return (*self.up_shape[:1], *self.down_shape[1:])


@dataclass(frozen=True)
class LoraFile:
    """What the header of a file says."""

    file: Path
    modules: tuple[LoraModule, ...]
    metadata: dict[str, str]
    is_peft: bool
    """Whether peft itself saved it, which keeps alpha in another file."""


def read_lora_file(path: Path) -> LoraFile:
    """Read a LoRA file, or the one in a folder of diffusers or peft.

    Raises CheckpointError when there is none, or when it is damaged, of another kind or for another family.
    """
    file = _find(path)
    headers = read_headers(file)
    family, kind = other_family(headers), unsupported_kind(headers)
    if family is not None:
        raise CheckpointError(f"{file}: expected a LoRA for Stable Diffusion 1 or 2, got one for {family}; use another")
    if kind is not None:
        raise CheckpointError(f"{file}: expected a LoRA, got {kind}, which is not supported; use a plain LoRA")
    tensors, is_peft = _group(file, headers)
    with opened(file) as stored:
        modules = tuple(_module(file, headers, key, names, stored) for key, names in tensors.items())
        return LoraFile(file, modules, stored.metadata() or {}, is_peft)


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Any]:
    """A safetensors file; what a damaged one raises becomes a CheckpointError."""
    try:
        with safe_open(file, framework="pt") as stored:
            yield stored
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: expected a whole safetensors file, got: {error}; fetch it again") from error


def _find(path: Path) -> Path:
    if path.is_dir():
        found = [path / name for name in FOLDER_FILES if (path / name).is_file()]
        if len(found) != 1:
            reason = f"expected one of {' and '.join(FOLDER_FILES)}, got {len(found)} of them"
            raise CheckpointError(f"{path}: {reason}; name the LoRA's file")
        return found[0]
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a LoRA, got nothing there; check the path")
    refuse_pickle(path)
    return path


Key = tuple[str | None, str]
"""Network and name of a module."""


def _group(file: Path, headers: Headers) -> tuple[dict[Key, dict[Role, str]], bool]:
    """The tensors of each module by their role, and whether peft wrote them."""
    tensors: dict[Key, dict[Role, str]] = defaultdict(dict)
    is_peft = False
    for name in sorted(headers):
        piece = parse_name(name)
        if piece is None:
            raise CheckpointError(f"{file}: expected a LoRA, got a tensor {name!r} that is of none; use another file")
        roles = tensors[piece.part, piece.module]
        if piece.role in roles:
            raise CheckpointError(f"{file}: expected one LoRA, got {roles[piece.role]!r} and {name!r}; split the file")
        roles[piece.role] = name
        is_peft = is_peft or piece.is_peft
    if not tensors:
        raise CheckpointError(f"{file}: expected a LoRA, got a file without tensors; fetch it again")
    return tensors, is_peft


def _module(file: Path, headers: Headers, key: Key, names: dict[Role, str], stored: Any) -> LoraModule:
    """One module; raises CheckpointError when a tensor is missing or of the wrong type."""
    if "down" not in names or "up" not in names:
        raise CheckpointError(f"{file}: expected both halves of a LoRA's {key[1]!r}, got {list(names)}; fetch it again")
    down, up = names["down"], names["up"]
    for name in (down, up):
        if headers[name][1] not in FLOATS:
            raise CheckpointError(f"{file}: tensor {name!r}: expected floats, got {headers[name][1]}; use another file")
    alpha = None
    if "alpha" in names:
        tensor = stored.get_tensor(names["alpha"])
        alpha = float(tensor) if tensor.numel() == 1 else math.nan
        if not math.isfinite(alpha):
            raise CheckpointError(f"{file}: tensor {names['alpha']!r}: expected a finite number, got {tensor.tolist()}")
    return LoraModule(key[1], key[0], down, up, headers[down][0], headers[up][0], alpha)
