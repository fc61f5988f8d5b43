"""Reads the modules of a LoRA file and the names of their tensors.  The only values that are read are the alphas."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.lora_delta import Kind, Role, kind_of
from mobile_diffusion.formats.lora_names import parse_name
from mobile_diffusion.formats.lora_refused import other_family, unsupported_kind
from mobile_diffusion.quoting import quoted, shortened
from mobile_diffusion.tensor_layout import FLOATS, Shape, read_headers
from mobile_diffusion.weights import refuse_pickle

FOLDER_FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
"""Names of the LoRA file in folders that diffusers and peft write."""

Headers = dict[str, tuple[Shape, str]]


@dataclass(frozen=True)
class LoraModule:
    """One layer that a file changes."""

    name: str
    """The name in the file, without the prefix for the network."""
    part: str | None
    """The network; None when the name has no prefix for it."""
    tensors: Mapping[Role, str]
    """Names of the tensors in the file."""
    shapes: Mapping[Role, Shape]
    kind: Kind | None
    """None when only the bias is changed."""
    alpha: float | None
    """None when the file has no alpha tensor for the module."""

    @property
    def first(self) -> str:
        """The name of one tensor, for messages."""
        return min(self.tensors.values())

    @property
    def rank(self) -> int | None:
        """What alpha is divided by; None when the module has no rank (a whole difference, LoKr of whole factors)."""
        ranked = [role for role in (self.kind.ranked if self.kind else ()) if self.shapes.get(role)]
        return self.shapes[ranked[0]][0] if ranked else None

    def delta_shape(self) -> Shape | None:
        """Shape of the weight's difference; None when the tensors do not fit together, or there is no difference."""
        if self.kind is None:
            return None
        halves = {role: torch.empty(shape, device="meta") for role, shape in self.shapes.items()}
        try:
            return tuple(self.kind.delta(halves).shape)
        except (RuntimeError, IndexError):
            return None


@dataclass(frozen=True)
class LoraFile:
    """The contents of a LoRA file's header."""

    file: Path
    modules: tuple[LoraModule, ...]
    metadata: dict[str, str]
    is_peft: bool
    """Whether peft saved it; peft stores alpha in another file."""


def read_lora_file(path: Path, for_xl: bool = False) -> LoraFile:
    """Read a LoRA file, or the one in a folder that diffusers or peft wrote; `for_xl` when the model is SDXL's.

    Raises CheckpointError when there is none, or when it is damaged, is an adapter of another kind, or is for another
    family of models.
    """
    file = _find(path)
    headers = read_headers(file)
    family, kind = other_family(headers, for_xl), unsupported_kind(headers)
    if family is not None:
        ours = f"Stable Diffusion {'XL' if for_xl else '1 or 2'}"
        raise CheckpointError(f"{file}: expected a LoRA for {ours}, got one for {family}; use another")
    if kind is not None:
        reason = f"expected LoRA, DoRA, LoHa, LoKr or whole differences, got {kind}, which is not supported"
        raise CheckpointError(
            f"{file}: {reason}; use a LoRA of another kind, or merge it with the program that made it"
        )
    tensors, is_peft = _group(file, headers)
    with opened(file) as stored:
        modules = tuple(_module(file, headers, key, names, stored) for key, names in tensors.items())
        return LoraFile(file, modules, stored.metadata() or {}, is_peft)


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Any]:
    """Open a safetensors file; raise CheckpointError inside the block when it turns out to be damaged."""
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
    """Group the tensors by module and role; the second value is whether peft wrote them."""
    tensors: dict[Key, dict[Role, str]] = defaultdict(dict)
    is_peft = False
    for name in sorted(headers):
        piece = parse_name(name)
        if piece is None:
            raise CheckpointError(f"{file}: expected only tensors of a LoRA, got {quoted(name)}; use another file")
        roles = tensors[piece.part, piece.module]
        if piece.role in roles:
            raise CheckpointError(
                f"{file}: expected one LoRA, got {quoted(roles[piece.role])} and {quoted(name)}; split the file"
            )
        roles[piece.role] = name
        is_peft = is_peft or piece.is_peft
    if not tensors:
        raise CheckpointError(f"{file}: expected a LoRA, got a file without tensors; fetch it again")
    return tensors, is_peft


def _module(file: Path, headers: Headers, key: Key, names: dict[Role, str], stored: Any) -> LoraModule:
    """Build one module; raise CheckpointError when a tensor is missing, is of another kind, or has the wrong type."""
    kind = kind_of(frozenset(names))
    if (kind is None and not names.keys() <= {"diff_b", "alpha"}) or names.keys() == {"alpha"}:
        reason = (
            f"expected the tensors of a LoRA, LoHa or LoKr for module {quoted(key[1])}, got {shortened(list(names))}"
        )
        raise CheckpointError(f"{file}: {reason}; fetch it again")
    for role, name in names.items():
        if role != "alpha" and headers[name][1] not in FLOATS:
            raise CheckpointError(
                f"{file}: tensor {quoted(name)}: expected floats, got {headers[name][1]}; use another file"
            )
    alpha = _alpha(file, names["alpha"], stored) if "alpha" in names else None
    shapes = {role: headers[name][0] for role, name in names.items()}
    return LoraModule(key[1], key[0], names, shapes, kind, alpha)


def _alpha(file: Path, name: str, stored: Any) -> float:
    tensor = stored.get_tensor(name)
    alpha = float(tensor) if tensor.numel() == 1 else math.nan
    if not math.isfinite(alpha):
        got = shortened(tensor.tolist())
        raise CheckpointError(f"{file}: tensor {quoted(name)}: expected a finite number, got {got}; fetch it again")
    return alpha
