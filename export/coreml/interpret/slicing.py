"""MIL operations that read or replace a part of a tensor given by bounds.

Parameters have MIL's names.
"""

from __future__ import annotations

import torch
from torch import Tensor

from export.coreml.interpret.attributes import flags, integers
from export.coreml.interpret.instruction import Operation


def bounds_of(
    shape: torch.Size,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None,
    begin_mask: Tensor | None,
    end_mask: Tensor | None,
    squeeze_mask: Tensor | None,
) -> tuple[list[range], list[int]]:
    """Return the places to take along each axis, and the axes of which one place is taken and that are dropped."""
    rank = len(shape)
    strides = [1] * rank if stride is None else integers(stride)
    open_begin, open_end, single = (flags(mask, rank) for mask in (begin_mask, end_mask, squeeze_mask))
    first, last = integers(begin), integers(end)
    places = []
    for axis in range(rank):
        bounds = slice(
            None if open_begin[axis] else first[axis],
            first[axis] + 1 or None if single[axis] else None if open_end[axis] else last[axis],
            1 if single[axis] else strides[axis],
        )
        places.append(range(shape[axis])[bounds])
    return places, [axis for axis in range(rank) if single[axis]]


def slice_by_index(
    x: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> Tensor:
    """x[begin:end:stride] on every axis; a mask ignores a bound, or takes one index and drops the axis."""
    places, dropped = bounds_of(x.shape, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    for axis, chosen in enumerate(places):
        x = take(x, axis, chosen)
    return x.squeeze(tuple(dropped)) if dropped else x


def take(x: Tensor, axis: int, places: range) -> Tensor:
    """Return the entries along an axis at a range of places, which may run backwards."""
    if places.step > 0 and len(places):
        return x[(slice(None),) * axis + (slice(places.start, places[-1] + 1, places.step),)]
    return x.index_select(axis, torch.tensor(list(places), dtype=torch.int64))


def slice_update(
    x: Tensor,
    update: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> Tensor:
    """x with the part that `slice_by_index` takes replaced."""
    places, _ = bounds_of(x.shape, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    result = x.clone()
    index = torch.meshgrid(*(torch.tensor(list(chosen), dtype=torch.int64) for chosen in places), indexing="ij")
    result[index] = update.reshape(index[0].shape)
    return result


def slice_by_size(x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    """`size` entries of each axis from `begin` on; -1 means all that remain."""
    for axis, (first, count) in enumerate(zip(integers(begin), integers(size), strict=True)):
        first %= x.shape[axis]
        x = x.narrow(axis, first, x.shape[axis] - first if count == -1 else count)
    return x


SLICING: dict[str, Operation] = {
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "slice_update": slice_update,
}
