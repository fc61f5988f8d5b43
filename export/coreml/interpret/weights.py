"""Constants that stay where they are stored until an operation wants them.

A weight of a large model costs memory only while it is worked on: it is read from its file, decompressed where it is
compressed, and made float32.  What fits into a small store is kept in that form, so that a small model pays once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobile_diffusion.errors import ExportError

KEPT_BYTES = 2**29
"""Memory for weights that are kept in the form in which operations take them."""
TENSORS = {"f": torch.float32, "i": torch.int32, "u": torch.int32, "b": torch.bool}
"""What numbers of each kind are held in."""


class Store:
    """What is left of the memory for kept weights."""

    def __init__(self, size: int = KEPT_BYTES) -> None:
        self.left = size

    def takes(self, size: int) -> bool:
        """Whether so many bytes may be kept; they are then taken."""
        if size > self.left:
            return False
        self.left -= size
        return True


class Weight:
    """A constant that is read, and decompressed, when it is used."""

    def __init__(self, name: str, read: Callable[[], NDArray[Any]], store: Store, infinite: bool = False) -> None:
        self.name = name
        self.read = read
        self.store = store
        self.infinite = infinite
        self.checked = False
        self.kept: Tensor | None = None

    def tensor(self) -> Tensor:
        """As operations take it: float32, int32 or bool.

        Raises:
            ExportError: it holds NaN, or an infinity.
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
"""What a slot holds: a tensor, a string, a weight, or a state."""


def held(array: NDArray[Any]) -> Tensor:
    """Numbers as operations take them; those in float32 are not copied."""
    if array.dtype.kind in "iu":
        return torch.from_numpy(np.ascontiguousarray(array).astype(np.int32).reshape(array.shape))
    return torch.from_numpy(array).to(TENSORS[array.dtype.kind])


def check_finite(name: str, value: Tensor, infinite: bool) -> None:
    """Refuse a constant with NaN, and, unless they are allowed, one with infinities (a single one may be a bound)."""
    if not value.is_floating_point() or not value.numel() or bool(torch.isfinite(value.sum())):
        return
    if bool(value.isnan().any()):
        raise ExportError(f"constant {name!r}: expected numbers, got NaN; export it again")
    found = value[value.isinf()]
    if found.numel() and value.dim() and not infinite:
        got = f"{found.numel()} infinite numbers, {float(found[0])} first"
        raise ExportError(f"constant {name!r}: expected finite numbers, got {got}; use a finite mask (-6e4 in float16)")
