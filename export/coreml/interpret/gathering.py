"""MIL operations that read or change entries of a tensor by indices.

An index out of range raises `ExportError`; on a device it is undefined.  Up to iOS 16 a negative index of `gather`
counts from the end; from iOS 17 on it is out of range.  Parameters have MIL's names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from export.coreml.interpret.instruction import Operation
from mobile_diffusion.errors import ExportError


def check_indices(operation: str, indices: Tensor, count: int) -> None:
    """Raise `ExportError` unless every index is in 0..count-1."""
    wrong = indices[(indices < 0) | (indices >= count)]
    if wrong.numel():
        raise ExportError(f"{operation}: expected indices from 0 to {count - 1}, got {int(wrong[0])}")


def gather(
    x: Tensor,
    indices: Tensor,
    axis: Tensor | None = None,
    batch_dims: Tensor | None = None,
    validate_indices: Tensor | None = None,
    *,
    from_end: bool = False,
) -> Tensor:
    """Slices along an axis; x and indices share the first `batch_dims` axes."""
    place = 0 if axis is None else int(axis) % x.dim()
    batch = 0 if batch_dims is None else int(batch_dims)
    indices = counted(indices, x.shape[place], from_end)
    check_indices("gather", indices, x.shape[place])
    if not batch:
        found = x.index_select(place, indices.reshape(-1))
        return found.reshape(*x.shape[:place], *indices.shape, *x.shape[place + 1 :])
    shared, own = x.shape[:batch], indices.shape[batch:]
    rows = x.reshape(-1, *x.shape[batch:])  # (samples, ...)
    each = indices.reshape(rows.shape[0], -1)  # (samples, indices of one)
    taken = [row.index_select(place - batch, one) for row, one in zip(rows, each, strict=True)]
    return torch.stack(taken).reshape(*shared, *x.shape[batch:place], *own, *x.shape[place + 1 :])


def counted(indices: Tensor, count: int, from_end: bool) -> Tensor:
    """Return indices counted from the start; raises `ExportError` for one out of range."""
    return torch.where(indices < 0, indices + count, indices) if from_end else indices


def gather_along_axis(
    x: Tensor,
    indices: Tensor,
    axis: Tensor | None = None,
    validate_indices: Tensor | None = None,
    *,
    from_end: bool = False,
) -> Tensor:
    """Entries along an axis, with separate indices for each line."""
    place = 0 if axis is None else int(axis) % x.dim()
    indices = counted(indices, x.shape[place], from_end)
    check_indices("gather_along_axis", indices, x.shape[place])
    return x.gather(place, indices.long())


def gather_nd(
    x: Tensor, indices: Tensor, batch_dims: Tensor | None = None, validate_indices: Tensor | None = None
) -> Tensor:
    """Slices of the first axes; the last axis of `indices` has a place on each of them."""
    batch = 0 if batch_dims is None else int(batch_dims)
    shared, samples = x.shape[:batch], math.prod(x.shape[:batch])
    rows, each = x.reshape(samples, *x.shape[batch:]), indices.reshape(samples, *indices.shape[batch:])
    taken = []
    for row, one in zip(rows, each, strict=True):
        flat, places = flattened("gather_nd", row, one)
        taken.append(flat[places])
    return torch.stack(taken).reshape(*shared, *indices.shape[batch:-1], *x.shape[batch + indices.shape[-1] :])


def flattened(operation: str, x: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return x with its first axes merged, and the indices as places on the merged axis."""
    count = indices.shape[-1]
    places = torch.zeros(indices.shape[:-1], dtype=torch.int64)
    for axis in range(count):
        check_indices(operation, indices[..., axis], x.shape[axis])
        places = places * x.shape[axis] + indices[..., axis]
    return x.reshape(-1, *x.shape[count:]), places


def divided(data: Tensor, axis: int, places: Tensor, updates: Tensor) -> Tensor:
    """Return the data with entries divided by the product of their updates."""
    products = torch.ones_like(data).scatter_reduce(axis, places, updates, "prod")
    return data / products if data.is_floating_point() else torch.div(data, products, rounding_mode="trunc")


SCATTERS: dict[str, Callable[[Tensor, int, Tensor, Tensor], Tensor]] = {
    "add": lambda data, axis, places, updates: data.scatter_add(axis, places, updates),
    "div": divided,
    "max": lambda data, axis, places, updates: data.scatter_reduce(axis, places, updates, "amax"),
    "min": lambda data, axis, places, updates: data.scatter_reduce(axis, places, updates, "amin"),
    "mul": lambda data, axis, places, updates: data.scatter_reduce(axis, places, updates, "prod"),
    "sub": lambda data, axis, places, updates: data.scatter_add(axis, places, -updates),
    "update": lambda data, axis, places, updates: data.scatter(axis, places, updates),
}
"""Functions that apply updates, by mode; the order of several updates of one entry is undefined."""


def scatter(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: Tensor | None = None,
    mode: str = "add",
    validate_indices: Tensor | None = None,
) -> Tensor:
    """data with slices along an axis changed; `updates` has the length of `indices` on that axis."""
    place = 0 if axis is None else int(axis) % data.dim()
    check_indices("scatter", indices, data.shape[place])
    shape = [1] * data.dim()
    shape[place] = -1
    return SCATTERS[mode](data, place, indices.long().reshape(shape).expand_as(updates), updates)


def scatter_along_axis(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: Tensor | None = None,
    mode: str = "add",
    validate_indices: Tensor | None = None,
) -> Tensor:
    """data with entries along an axis changed, with separate indices for each line."""
    place = 0 if axis is None else int(axis) % data.dim()
    check_indices("scatter_along_axis", indices, data.shape[place])
    return SCATTERS[mode](data, place, indices.long(), updates)


def scatter_nd(
    data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add", validate_indices: Tensor | None = None
) -> Tensor:
    """data with slices of the first axes changed; the last axis of `indices` has a place on each of them."""
    flat, places = flattened("scatter_nd", data, indices)
    rows = updates.reshape(places.numel(), *flat.shape[1:])
    index = places.reshape(-1, *[1] * (flat.dim() - 1)).expand_as(rows)
    return SCATTERS[mode](flat, 0, index, rows).reshape(data.shape)


def one_hot(
    indices: Tensor,
    one_hot_vector_size: Tensor,
    axis: Tensor | None = None,
    on_value: Tensor | None = None,
    off_value: Tensor | None = None,
) -> Tensor:
    """A new axis with `on_value` at the index and `off_value` elsewhere; only `off_value` for an index out of range."""
    size = int(one_hot_vector_size)
    set_ = indices[..., None] == torch.arange(size, dtype=indices.dtype)  # (..., size)
    on = torch.tensor(1, dtype=torch.int32) if on_value is None else on_value
    off = torch.zeros_like(on) if off_value is None else off_value
    return torch.where(set_, on, off).movedim(-1, -1 if axis is None else int(axis))


def non_zero(x: Tensor) -> Tensor:
    """Positions where x is not 0: int32 (count, rank)."""
    return x.nonzero().to(torch.int32)


GATHERING: dict[str, Operation] = {
    "gather": gather,
    "gather_along_axis": gather_along_axis,
    "gather_nd": gather_nd,
    "non_zero": non_zero,
}
"""The operations of this module that only move numbers."""
SCATTERING: dict[str, Operation] = {
    "one_hot": one_hot,
    "scatter": scatter,
    "scatter_along_axis": scatter_along_axis,
    "scatter_nd": scatter_nd,
}
FROM_END: dict[str, Operation] = {
    "gather": partial(gather, from_end=True),
    "gather_along_axis": partial(gather_along_axis, from_end=True),
}
"""Their variants up to iOS 16, in which negative indices count from the end."""
