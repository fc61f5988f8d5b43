"""Reads large constants only when an operation needs them.

A weight of a large model takes memory only during an operation: it is read from its file, decompressed if necessary,
and cast to float32.  Up to KEPT_BYTES of weights are kept in that form, so that a small model's weights are read once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

KEPT_BYTES = 2**29
"""Most bytes of weights that are kept in the form in which operations take them."""
TENSORS = {"f": torch.float32, "i": torch.int32, "u": torch.int32, "b": torch.bool}
"""The torch dtype in which numbers of each numpy kind are computed."""


class Store:
    """The memory that is left for kept weights."""

    def __init__(self, size: int = KEPT_BYTES) -> None:
        self.left = size

    def takes(self, size: int) -> bool:
        """Return whether `size` bytes fit; if so, reserve them."""
        if size > self.left:
            return False
        self.left -= size
        return True


class Weight:
    """A constant that is read and decompressed when it is used."""

    def __init__(self, name: str, read: Callable[[], NDArray[Any]], store: Store, infinite: bool = False) -> None:
        self.name = name
        self.read = read
        self.store = store
        self.infinite = infinite
        self.checked = False
        self.kept: Tensor | None = None

    def tensor(self) -> Tensor:
        """Return the constant in the form that operations take: float32, int32 or bool.

        Raises:
            ExportError: it has NaN, or an infinity that is not allowed.
        """
        if self.kept is not None:
            return self.kept
        array = self.read()
        value = held(array)
        if not self.checked:
            check_finite(self.name, value, self.infinite)
            self.checked = True
        stored_so = value.dtype == torch.float32 and array.dtype == np.float32
        if not stored_so and self.store.takes(value.nbytes):
            self.kept = value
        return value


Value = Tensor | str | Weight | Any
"""The content of a slot: a tensor, a string, a weight, or a state."""


def held(array: NDArray[Any]) -> Tensor:
    """Return an array in the form that operations take; float32 numbers are not copied."""
    if array.dtype.kind in "iu":
        return torch.from_numpy(np.ascontiguousarray(array).astype(np.int32).reshape(array.shape))
    return torch.from_numpy(array).to(TENSORS[array.dtype.kind])


def check_finite(name: str, value: Tensor, infinite: bool) -> None:
    """Raise `ExportError` for a constant with NaN or, unless `infinite`, with infinities.

    A constant that is a single infinite number is always allowed, because it may be a bound.
    """
    if not value.is_floating_point() or not value.numel() or bool(torch.isfinite(value.sum())):
        return
    if bool(value.isnan().any()):
        raise ExportError(f"constant {quoted(name)}: expected numbers, got NaN; export it again")
    found = value[value.isinf()]
    if found.numel() and value.dim() and not infinite:
        got = f"{found.numel()} infinite numbers, {float(found[0])} first"
        raise ExportError(
            f"constant {quoted(name)}: expected finite numbers, got {got}; use a finite mask (-6e4 in float16)"
        )
