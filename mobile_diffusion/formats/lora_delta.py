"""Computes what a module of a LoRA file adds to a weight, before scaling: one function per kind of adapter.

Each takes the module's tensors by role and returns the difference of the weight.  The functions work on meta tensors
too; the file's shapes are checked that way before a weight is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Role = Literal[
    "down",
    "up",
    "mid",
    "up_bias",
    "hada_w1_a",
    "hada_w1_b",
    "hada_w2_a",
    "hada_w2_b",
    "hada_t1",
    "hada_t2",
    "lokr_w1",
    "lokr_w1_a",
    "lokr_w1_b",
    "lokr_w2",
    "lokr_w2_a",
    "lokr_w2_b",
    "lokr_t2",
    "diff",
    "diff_b",
    "dora_scale",
    "magnitude",
    "alpha",
]
Tensors = Mapping[Role, Tensor]


def low_rank(tensors: Tensors) -> Tensor:
    """LoRA (Hu et al. 2021): up @ down, (out, in) or (out, in, kh, kw).

    With `mid`, a convolution's kernel in a Tucker decomposition (LoCon).
    """
    up, down = tensors["up"].flatten(1), tensors["down"]  # (out, rank), (rank, in, ...)
    if "mid" in tensors:
        return _tucker(tensors["mid"], up.T, down.flatten(1))
    return (up @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def hadamard(tensors: Tensors) -> Tensor:
    """LoHa (Hyeon-Woo et al. 2022, FedPara, equation 2): (w1_a @ w1_b) * (w2_a @ w2_b); with t1 and t2, Tucker."""
    first, second = (
        _product(tensors, (f"hada_t{half}", f"hada_w{half}_a", f"hada_w{half}_b"))  # type: ignore[arg-type]
        for half in (1, 2)
    )
    return first * second


def kronecker(tensors: Tensors) -> Tensor:
    """LoKr (Yeh et al. 2023, LyCORIS): the Kronecker product of w1 (a, c) and w2 (b, d, ...): (a b, c d, ...).

    Each factor is whole or a product of two matrices; a kernel may be in a Tucker decomposition.
    """
    first = tensors["lokr_w1"] if "lokr_w1" in tensors else tensors["lokr_w1_a"] @ tensors["lokr_w1_b"]
    second = tensors.get("lokr_w2")
    if second is None:
        second = _product(tensors, ("lokr_t2", "lokr_w2_a", "lokr_w2_b"))
    first = first.reshape(*first.shape, *[1] * (second.ndim - first.ndim))
    return torch.kron(first, second.contiguous())


def whole(tensors: Tensors) -> Tensor:
    """The difference itself, as LyCORIS stores it for a fully trained layer or a norm."""
    return tensors["diff"]


def magnitude_of(tensors: Tensors, weight: Tensor) -> Tensor | None:
    """The lengths that DoRA gives a weight's rows (out, 1, ...) or columns (1, in, ...); None for other modules.

    peft stores the lengths of rows in several shapes.  LyCORIS stores (out, 1, ...), or (1, in, ...) for columns.
    """
    stored = tensors.get("magnitude", tensors.get("dora_scale"))
    if stored is None:
        return None
    by_column = "dora_scale" in tensors and stored.ndim > 1 and stored.shape[0] == 1 != weight.shape[0]
    return stored.reshape(*((1, -1) if by_column else (-1, 1)), *[1] * (weight.ndim - 2))


def decompose(weight: Tensor, base: Tensor, magnitude: Tensor) -> Tensor:
    """DoRA (Liu et al. 2024, equation 5): give the rows or columns of `weight` the lengths `magnitude`.

    Their lengths so far are those of `base`, the original weight with the change of this LoRA alone, as in peft.
    """
    along = [dimension for dimension, side in enumerate(magnitude.shape) if side == 1]
    return weight * (magnitude / torch.linalg.vector_norm(base, dim=along, keepdim=True))


@dataclass(frozen=True)
class Kind:
    """A kind of adapter that can be merged."""

    name: str
    layouts: tuple[frozenset[Role], ...]
    """The sets of roles that a module of this kind may have, besides those in ADDED."""
    delta: Callable[[Tensors], Tensor]
    ranked: tuple[Role, ...]
    """The first of these that a module has has the rank as its dimension 0; alpha is divided by the rank."""

    @property
    def roles(self) -> frozenset[Role]:
        """Every role of this kind."""
        return frozenset().union(*self.layouts)


def _kind(name: str, layouts: list[str], delta: Callable[[Tensors], Tensor], ranked: tuple[Role, ...] = ()) -> Kind:
    return Kind(name, tuple(frozenset(layout.split()) for layout in layouts), delta, ranked)  # type: ignore[arg-type]


LOHA = "hada_w1_a hada_w1_b hada_w2_a hada_w2_b"
LOKR_1 = ("lokr_w1", "lokr_w1_a lokr_w1_b")
LOKR_2 = ("lokr_w2", "lokr_w2_a lokr_w2_b", "lokr_w2_a lokr_w2_b lokr_t2")
KINDS = (
    _kind("LoRA", ["down up", "down up mid"], low_rank, ("down",)),
    _kind("LoHa", [LOHA, f"{LOHA} hada_t1 hada_t2"], hadamard, ("hada_w1_b",)),
    _kind(
        "LoKr",
        [f"{first} {second}" for first in LOKR_1 for second in LOKR_2],
        kronecker,
        ("lokr_w2_b", "lokr_w1_b"),
    ),
    _kind("whole difference", ["diff"], whole),
)
ADDED: frozenset[Role] = frozenset({"alpha", "up_bias", "diff_b", "dora_scale", "magnitude"})
"""Roles that a module may have besides those of its kind."""


def kind_of(roles: frozenset[Role]) -> Kind | None:
    """The kind of a module with these roles; None when they are of no kind, or only a difference of the bias."""
    return next((kind for kind in KINDS if roles - ADDED in kind.layouts), None)


def _product(tensors: Tensors, roles: tuple[Role, Role, Role]) -> Tensor:
    """The matrix product of `a` and `b`, or with a core tensor the Tucker product; roles are core, a, b."""
    core, left, right = roles
    if core in tensors:
        return _tucker(tensors[core], tensors[left], tensors[right])
    right_tensor = tensors[right]  # (rank, in) or (rank, in, kh, kw)
    return (tensors[left] @ right_tensor.flatten(1)).reshape(-1, *right_tensor.shape[1:])


def _tucker(core: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """A kernel (out, in, kh, kw) from its core (m, n, kh, kw), left (m, out) and right (n, in)."""
    return torch.einsum("mn...,mo,ni->oi...", core, left, right)
