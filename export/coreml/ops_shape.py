"""MIL operations that move numbers without changing them, so nothing has to be rounded behind them.

Parameters are named as in MIL; semantics are those of its iOS 17 operation set.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from export.coreml.attributes import choose, flags, integers, require
from export.coreml.ops_elementwise import Operation
from mobile_diffusion.errors import ExportError

PAD_PLACES: dict[str, Callable[[int, int], int]] = {
    "reflect": lambda place, size: size - 1 - abs(size - 1 - abs(place)),
    "replicate": lambda place, size: min(max(place, 0), size - 1),
}
"""Which entry of an axis of `size` stands at a place outside of it."""


def identity(x: Tensor) -> Tensor:
    """x itself."""
    return x


def reshape(x: Tensor, shape: Tensor) -> Tensor:
    """New shape; 0 takes the size of x's axis, counted from the right (1 beyond its rank), -1 the rest."""
    sizes = integers(shape)
    known = list(x.shape)
    for place in range(1, len(sizes) + 1):
        if sizes[-place] == 0:
            sizes[-place] = known[-place] if place <= len(known) else 1
    return x.reshape(sizes)


def transpose(x: Tensor, perm: Tensor) -> Tensor:
    """Axes in the order of `perm`."""
    return x.permute(integers(perm))


def expand_dims(x: Tensor, axes: Tensor) -> Tensor:
    """New axes of size 1 at these places of the result."""
    new = integers(axes)
    rank = x.dim() + len(new)
    for axis in sorted(axis % rank for axis in new):
        x = x.unsqueeze(axis)
    return x


def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Without these axes where they are of size 1; without any of size 1 when none is named."""
    return x.squeeze() if axes is None else x.squeeze(tuple(integers(axes)))


def concat(values: tuple[Tensor, ...], axis: Tensor, interleave: Tensor | None = None) -> Tensor:
    """Tensors one behind the other; interleaved, their slices in turn."""
    place = int(axis) % values[0].dim()
    if interleave is not None and bool(interleave):
        return torch.stack(values, dim=place + 1).flatten(place, place + 1)
    return torch.cat(values, dim=place)


def stack(values: tuple[Tensor, ...], axis: Tensor) -> Tensor:
    """Tensors along a new axis."""
    return torch.stack(values, dim=int(axis))


def split(
    x: Tensor, axis: Tensor, num_splits: Tensor | None = None, split_sizes: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Pieces of these sizes, or so many equal ones."""
    if split_sizes is not None:
        return torch.split(x, integers(split_sizes), dim=int(axis))
    if num_splits is None:
        raise ExportError("split: expected num_splits or split_sizes, got neither")
    return torch.split(x, x.shape[int(axis)] // int(num_splits), dim=int(axis))


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
    rank = x.dim()
    strides = [1] * rank if stride is None else integers(stride)
    open_begin, open_end, single = (flags(mask, rank) for mask in (begin_mask, end_mask, squeeze_mask))
    first, last = integers(begin), integers(end)
    for axis in range(rank):
        bounds = slice(
            None if open_begin[axis] else first[axis],
            first[axis] + 1 or None if single[axis] else None if open_end[axis] else last[axis],
            1 if single[axis] else strides[axis],
        )
        places = range(x.shape[axis])[bounds]
        x = take(x, axis, places)
    dropped = [axis for axis in range(rank) if single[axis]]
    return x.squeeze(tuple(dropped)) if dropped else x


def take(x: Tensor, axis: int, places: range) -> Tensor:
    """The entries of an axis at an arithmetic sequence of places, which may run backwards."""
    if places.step > 0 and len(places):
        return x[(slice(None),) * axis + (slice(places.start, places[-1] + 1, places.step),)]
    return x.index_select(axis, torch.tensor(list(places), dtype=torch.int64))


def slice_by_size(x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    """From `begin`, so many entries of every axis; -1 means all that are left."""
    for axis, (first, count) in enumerate(zip(integers(begin), integers(size), strict=True)):
        first %= x.shape[axis]
        x = x.narrow(axis, first, x.shape[axis] - first if count == -1 else count)
    return x


def gather(
    x: Tensor,
    indices: Tensor,
    axis: Tensor,
    batch_dims: Tensor | None = None,
    validate_indices: Tensor | None = None,
) -> Tensor:
    """Slices of an axis; indices out of range are an error here and undefined on a device."""
    require("gather", "batch_dims", 0 if batch_dims is None else int(batch_dims), 0)
    place = int(axis) % x.dim()
    check_indices("gather", indices, x.shape[place])
    found = x.index_select(place, indices.reshape(-1))
    return found.reshape(*x.shape[:place], *indices.shape, *x.shape[place + 1 :])


def gather_along_axis(x: Tensor, indices: Tensor, axis: Tensor, validate_indices: Tensor | None = None) -> Tensor:
    """Entries of an axis, of each line its own."""
    place = int(axis) % x.dim()
    check_indices("gather_along_axis", indices, x.shape[place])
    return x.gather(place, indices.long())


def check_indices(operation: str, indices: Tensor, count: int) -> None:
    """ExportError unless every index is one of 0..count-1."""
    wrong = indices[(indices < 0) | (indices >= count)]
    if wrong.numel():
        raise ExportError(f"{operation}: expected indices from 0 to {count - 1}, got {int(wrong[0])}")


def pad(x: Tensor, pad: Tensor, mode: str = "constant", constant_val: Tensor | None = None) -> Tensor:
    """Numbers before and after each of the last axes: a constant, or the axis's own by `PAD_PLACES`."""
    sizes = integers(pad)
    pairs = list(zip(sizes[0::2], sizes[1::2], strict=True))  # outermost axis first
    if mode == "constant":
        flat = [size for pair in reversed(pairs) for size in pair]  # torch: innermost first
        return F.pad(x, flat, value=0.0 if constant_val is None else float(constant_val))
    place_of = choose("pad", "mode", mode, PAD_PLACES)
    for axis, (before, after) in enumerate(pairs, start=x.dim() - len(pairs)):
        size = x.shape[axis]
        places = [place_of(place, size) for place in range(-before, size + after)]
        x = x.index_select(axis, torch.tensor(places))
    return x


def tile(x: Tensor, reps: Tensor) -> Tensor:
    """x repeated so often along every axis."""
    return x.repeat(integers(reps))


def reverse(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Backwards along these axes, or along all."""
    return x.flip(list(range(x.dim())) if axes is None else integers(axes))


def fill(shape: Tensor, value: Tensor) -> Tensor:
    """A tensor of one number."""
    return torch.full(integers(shape), value.item(), dtype=value.dtype)


def shape(x: Tensor) -> Tensor:
    """The sizes of x: int32 (rank,)."""
    return torch.tensor(list(x.shape), dtype=torch.int32)


def pixel_shuffle(x: Tensor, upscale_factor: Tensor) -> Tensor:
    """Channels to a finer grid: (B, C f^2, h, w) -> (B, C, h f, w f)."""
    return F.pixel_shuffle(x, int(upscale_factor))


def upsample_nearest_neighbor(x: Tensor, scale_factor_height: Tensor, scale_factor_width: Tensor) -> Tensor:
    """Pixels repeated: (..., h, w) -> (..., h fh, w fw), whole factors only."""
    for axis, factor in ((-2, float(scale_factor_height)), (-1, float(scale_factor_width))):
        if not factor.is_integer():
            raise ExportError(f"upsample_nearest_neighbor: expected whole scale factors, got {factor}")
        x = x.repeat_interleave(int(factor), dim=axis)
    return x


def flatten2d(x: Tensor, axis: Tensor) -> Tensor:
    """Two axes: those before `axis` and those from it on."""
    place = int(axis) % x.dim()
    return x.reshape(math.prod(x.shape[:place]), math.prod(x.shape[place:]))


SHAPE: dict[str, Operation] = {
    "concat": concat,
    "expand_dims": expand_dims,
    "fill": fill,
    "flatten2d": flatten2d,
    "gather": gather,
    "gather_along_axis": gather_along_axis,
    "identity": identity,
    "pad": pad,
    "pixel_shuffle": pixel_shuffle,
    "reshape": reshape,
    "reverse": reverse,
    "shape": shape,
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "split": split,
    "squeeze": squeeze,
    "stack": stack,
    "tile": tile,
    "transpose": transpose,
    "upsample_nearest_neighbor": upsample_nearest_neighbor,
}
