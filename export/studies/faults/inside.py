"""What a device may compute inside one operation, when it computes in float16 step by step.

A program says `layer_norm` and not how: a kernel that squares the deviations in float16 loses them from 256 on, as
the decomposed form would.  Nobody but the device tells; so these numbers are a warning, not a fault of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from export.studies.faults.counts import HALF_OVERFLOW

Operands = Mapping[str, Any]


def layer_norm(operands: Operands) -> int:
    """Squares of deviations from the mean over `axes`."""
    axes = [int(axis) for axis in operands["axes"].reshape(-1).tolist()]
    return squares_beyond(operands["x"], axes)


def instance_norm(operands: Operands) -> int:
    """Squares of deviations from the mean of every channel of (B, C, ...)."""
    return squares_beyond(operands["x"], list(range(2, operands["x"].dim())))


def squares_beyond(x: Tensor, axes: list[int]) -> int:
    """Elements whose squared deviation is infinite in float16."""
    deviation = (x - x.mean(axes, keepdim=True)).abs()
    return int((deviation >= HALF_OVERFLOW**0.5).sum())


def attention(operands: Operands) -> int:
    """Scores (..., Q, K) before they are divided by the root of the width, if a kernel divides afterwards."""
    query, key = operands["query"], operands["key"]
    bound = float(query.norm(dim=-1).max() * key.norm(dim=-1).max())  # Cauchy and Schwarz
    if bound < HALF_OVERFLOW:
        return 0
    return sum(int(((q @ key_of(key, i).mT).abs() >= HALF_OVERFLOW).sum()) for i, q in enumerate(query))


def key_of(key: Tensor, index: int) -> Tensor:
    """The keys of one sample, which all share when there is one."""
    return key[index if key.shape[0] > 1 else 0]


INSIDE: dict[str, Callable[[Operands], int]] = {
    "layer_norm": layer_norm,
    "instance_norm": instance_norm,
    "scaled_dot_product_attention": attention,
}
"""By MIL operation."""
