"""MIL operations that rearrange numbers without changing them, so that their results need no rounding.

Parameters have MIL's names; the semantics are those of the iOS 17 operation set.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from export.coreml.interpret.attributes import integers, is_set
from export.coreml.interpret.instruction import Operation
from mobile_diffusion.errors import ExportError

PAD_PLACES: dict[str, Callable[[int, int], int]] = {
    "reflect": lambda place, size: size - 1 - abs(size - 1 - abs(place)),
    "replicate": lambda place, size: min(max(place, 0), size - 1),
}
"""Functions, by padding mode, from a place outside an axis and its size to the entry that is copied there."""
PAD_MODES = frozenset({"constant", *PAD_PLACES})


def identity(x: Tensor) -> Tensor:
    """x itself."""
    return x


def reshape(x: Tensor, shape: Tensor) -> Tensor:
    """x in a new shape; 0 keeps the size of x's axis, counted from the right (1 beyond its rank), -1 is the rest."""
    sizes = integers(shape)
    known = list(x.shape)
    for place in range(1, len(sizes) + 1):
        if sizes[-place] == 0:
            sizes[-place] = known[-place] if place <= len(known) else 1
    return x.reshape(sizes)


def reshape_like(
    x: Tensor,
    ref_tensors: tuple[Tensor, ...],
    begins: tuple[Tensor, ...],
    ends: tuple[Tensor, ...],
    end_masks: tuple[Tensor, ...],
) -> Tensor:
    """x in the shape made of some axes of other tensors, one tensor after another."""
    sizes: list[int] = []
    for tensor, begin, end, open_end in zip(ref_tensors, begins, ends, end_masks, strict=True):
        sizes += tensor.shape[int(begin) : None if bool(open_end) else int(end)]
    return x.reshape(sizes)


def transpose(x: Tensor, perm: Tensor) -> Tensor:
    """x with its axes in the order of `perm`."""
    return x.permute(integers(perm))


def expand_dims(x: Tensor, axes: Tensor) -> Tensor:
    """x with new axes of size 1 at these places of the result."""
    new = integers(axes)
    rank = x.dim() + len(new)
    for axis in sorted(axis % rank for axis in new):
        x = x.unsqueeze(axis)
    return x


def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """x without these axes where their size is 1; without all axes of size 1 if none are named."""
    return x.squeeze() if axes is None else x.squeeze(tuple(integers(axes)))


def concat(values: tuple[Tensor, ...], axis: Tensor, interleave: Tensor | None = None) -> Tensor:
    """Tensors one after another; with `interleave`, their slices alternate."""
    place = int(axis) % values[0].dim()
    if is_set(interleave):
        return torch.stack(values, dim=place + 1).flatten(place, place + 1)
    return torch.cat(values, dim=place)


def stack(values: tuple[Tensor, ...], axis: Tensor) -> Tensor:
    """Tensors along a new axis."""
    return torch.stack(values, dim=int(axis))


def split(
    x: Tensor, axis: Tensor, num_splits: Tensor | None = None, split_sizes: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Pieces of these sizes, or `num_splits` equal ones."""
    if split_sizes is not None:
        return torch.split(x, integers(split_sizes), dim=int(axis))
    if num_splits is None:
        raise ExportError("split: expected num_splits or split_sizes, got neither")
    return torch.split(x, x.shape[int(axis)] // int(num_splits), dim=int(axis))


def pad(x: Tensor, pad: Tensor, mode: str = "constant", constant_val: Tensor | None = None) -> Tensor:
    """x with its last axes padded by a constant, or by numbers of the axis itself (`PAD_PLACES`)."""
    sizes = integers(pad)
    pairs = list(zip(sizes[0::2], sizes[1::2], strict=True))  # outermost axis first
    if mode == "constant":
        flat = [size for pair in reversed(pairs) for size in pair]  # torch: innermost first
        return F.pad(x, flat, value=0.0 if constant_val is None else constant_val.item())
    for axis, (before, after) in enumerate(pairs, start=x.dim() - len(pairs)):
        size = x.shape[axis]
        places = [PAD_PLACES[mode](place, size) for place in range(-before, size + after)]
        x = x.index_select(axis, torch.tensor(places))
    return x


def tile(x: Tensor, reps: Tensor) -> Tensor:
    """x repeated `reps` times along each axis."""
    return x.repeat(integers(reps))


def reverse(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """x reversed along these axes, or along all."""
    return x.flip(list(range(x.dim())) if axes is None else integers(axes))


def reverse_sequence(
    x: Tensor, lengths: Tensor, seq_axis: Tensor | None = None, batch_axis: Tensor | None = None
) -> Tensor:
    """x with the first entries of an axis reversed, as many per sample as its length."""
    along, batch = (0 if axis is None else int(axis) % x.dim() for axis in (seq_axis, batch_axis))
    places = torch.arange(x.shape[along]).expand(lengths.numel(), -1)  # (samples, entries)
    counts = lengths.long()[:, None]
    order = torch.where(places < counts, counts - 1 - places, places)
    shape = [1] * x.dim()
    shape[batch], shape[along] = order.shape
    aligned = (order if batch < along else order.T).reshape(shape)
    return x.gather(along, aligned.expand_as(x))


def flatten2d(x: Tensor, axis: Tensor | None = None) -> Tensor:
    """x with two axes: all before `axis` merged, and all from `axis` on merged."""
    place = 1 if axis is None else int(axis) % x.dim()
    return x.reshape(math.prod(x.shape[:place]), math.prod(x.shape[place:]))


def sliding_windows(x: Tensor, axis: Tensor, size: Tensor, stride: Tensor | None = None) -> Tensor:
    """All windows along an axis, as a new axis after it: (..., n, ...) -> (..., windows, size, ...)."""
    place = int(axis) % x.dim()
    return x.unfold(place, int(size), 1 if stride is None else int(stride)).movedim(-1, place + 1)


SHAPE: dict[str, Operation] = {
    "concat": concat,
    "expand_dims": expand_dims,
    "flatten2d": flatten2d,
    "identity": identity,
    "pad": pad,
    "reshape": reshape,
    "reshape_like": reshape_like,
    "reverse": reverse,
    "reverse_sequence": reverse_sequence,
    "sliding_windows": sliding_windows,
    "split": split,
    "squeeze": squeeze,
    "stack": stack,
    "tile": tile,
    "transpose": transpose,
}
