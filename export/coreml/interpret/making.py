"""MIL operations that create tensors from sizes and bounds, and the triangular mask.

Parameters have MIL's names.
"""

from __future__ import annotations

import torch
from torch import Tensor

from export.coreml.interpret.attributes import integers, number_or
from export.coreml.interpret.instruction import Operation


def fill(shape: Tensor, value: Tensor | None = None) -> Tensor:
    """A tensor of the given shape, filled with one number."""
    value = torch.zeros(()) if value is None else value
    return torch.full(integers(shape), value.item(), dtype=value.dtype)


def fill_like(ref_tensor: Tensor, value: Tensor | None = None) -> Tensor:
    """A tensor with the shape of another, filled with one number."""
    value = torch.zeros(()) if value is None else value
    return torch.full(ref_tensor.shape, value.item(), dtype=value.dtype)


def shape(x: Tensor) -> Tensor:
    """The sizes of x: int32 (rank,)."""
    return torch.tensor(list(x.shape), dtype=torch.int32)


def range_1d(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """Numbers from `start` to `end` (not included) in steps of `step`."""
    return torch.arange(start.item(), end.item(), step.item(), dtype=start.dtype)


def band_part(x: Tensor, lower: Tensor | None = None, upper: Tensor | None = None) -> Tensor:
    """x with zeros beyond `lower` places below and `upper` places above the diagonal of its last axes; -1 keeps all."""
    below, above = int(number_or(lower, -1)), int(number_or(upper, -1))
    rows, columns = torch.arange(x.shape[-2])[:, None], torch.arange(x.shape[-1])[None, :]
    kept = ((rows - columns <= below) | (below < 0)) & ((columns - rows <= above) | (above < 0))
    return torch.where(kept, x, torch.zeros((), dtype=x.dtype))


MAKING: dict[str, Operation] = {
    "band_part": band_part,
    "fill": fill,
    "fill_like": fill_like,
    "range_1d": range_1d,
    "shape": shape,
}
