"""Counting what half precision does to the result of one operation.

Given are the result as computed exactly from rounded operands, and the result as it is stored.  IEEE 754 binary16:
largest number 65504, smallest normal number 2^-14, unit roundoff 2^-11.  Tensors are read in pieces, because the
attention scores of Stable Diffusion alone take a gigabyte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

HALF_MAX = 65504.0
HALF_OVERFLOW = 65520.0
"""The smallest magnitude that rounds to infinity."""
HALF_NORMAL = 2.0**-14
"""Below it numbers have fewer than 11 significant bits."""
HALF_ROUNDOFF = 2.0**-11
SINGLE_ROUNDOFF = 2.0**-24
ROUNDOFFS = {"fp16": HALF_ROUNDOFF, "fp32": SINGLE_ROUNDOFF}
"""Largest relative error of rounding to nearest, by MIL dtype."""
LOST = 2.0**-3
"""Relative error from which a sum counts as cancelled: three bits are left."""
PIECE = 2**21
"""Elements counted at a time."""


@dataclass(frozen=True)
class Counts:
    """The elements of a result, and how many of them have each fault."""

    elements: int = 0
    overflow: int = 0
    """Finite exactly, infinite as stored."""
    infinite: int = 0
    """Infinite exactly, though no operand is: for example a division by zero."""
    nan: int = 0
    underflow: int = 0
    """Not zero exactly, zero as stored."""
    subnormal: int = 0
    """Stored with fewer than 11 significant bits, because smaller than 2^-14."""
    saturated: int = 0
    """Finite and beyond half of float16's range: one doubling from infinity."""
    cancelled: int = 0
    """Sums of which fewer than three bits are right, because of the rounding of the operands alone."""
    inside: int = 0
    """Numbers beyond float16's range inside the operation, on a device that computes it in float16 (inside.py)."""
    highest: float = 0.0
    """Largest finite magnitude, before rounding."""
    lowest: float = math.inf
    """Smallest nonzero magnitude, before rounding."""

    def worst(self, other: Counts) -> Counts:
        """The larger count of each fault, and the widest range of magnitudes."""
        pairs = {each.name: (getattr(self, each.name), getattr(other, each.name)) for each in fields(Counts)}
        return Counts(**{name: min(pair) if name == "lowest" else max(pair) for name, pair in pairs.items()})

    @property
    def broken(self) -> int:
        """Elements that are wrong beyond any tolerance."""
        return self.overflow + self.infinite + self.nan


def count_result(exact: Tensor, stored: Tensor, operands_finite: Callable[[], bool]) -> Counts:
    """Faults of one result, both float32 of one shape; cancellation and what is inside are counted elsewhere.

    `operands_finite` is asked only where something is infinite.
    """
    total = {"overflow": 0, "infinite": 0, "nan": 0, "underflow": 0, "subnormal": 0, "saturated": 0}
    highest, lowest = 0.0, math.inf
    pieces = zip(exact.reshape(-1).split(PIECE), stored.reshape(-1).split(PIECE), strict=True)
    for wanted, got in pieces:
        magnitude = wanted.abs()
        high = float(magnitude.max()) if magnitude.numel() else 0.0
        if not high <= HALF_MAX / 2:
            for name, number in count_large(magnitude, got.abs(), operands_finite).items():
                total[name] += number
            finite = magnitude[magnitude.isfinite()]
            high = float(finite.max()) if finite.numel() else 0.0
        present = int(got.count_nonzero())
        total["underflow"] += int(wanted.count_nonzero()) - present
        total["subnormal"] += int((got.abs() < HALF_NORMAL).sum()) - (got.numel() - present)
        smallest = float(torch.where(magnitude > 0, magnitude, math.inf).min()) if magnitude.numel() else math.inf
        highest, lowest = max(highest, high), min(lowest, smallest)
    return Counts(exact.numel(), **total, highest=highest, lowest=lowest)


def count_large(exact: Tensor, stored: Tensor, operands_finite: Callable[[], bool]) -> dict[str, int]:
    """Faults at the upper end of the range; both are magnitudes."""
    infinite = stored.isinf()
    given = int(exact.isinf().sum())
    return {
        "overflow": int((infinite & exact.isfinite()).sum()),
        "infinite": given if given and operands_finite() else 0,
        "nan": int(stored.isnan().sum()),
        "saturated": int(((stored > HALF_MAX / 2) & ~infinite).sum()),
    }


def count_cancelled(operands: Mapping[str, Any], exact: Tensor, roundoffs: Mapping[str, float]) -> int:
    """Sums and differences x +- y in which u_x |x| + u_y |y| exceeds LOST |x +- y|.

    The left side bounds the error that rounding of the operands, of relative size u, leaves in the result (Higham,
    Accuracy and Stability of Numerical Algorithms, section 1.7).
    """
    error = sum(roundoffs[name] * operands[name].abs() for name in ("x", "y"))
    assert isinstance(error, Tensor)
    return int((error > LOST * exact.abs()).sum())


def all_finite(operands: Mapping[str, Any]) -> bool:
    """Whether no tensor among the operands holds NaN or infinity."""
    flat = (one for value in operands.values() for one in (value if isinstance(value, tuple) else (value,)))
    return all(bool(one.isfinite().all()) for one in flat if isinstance(one, Tensor) and one.is_floating_point())
