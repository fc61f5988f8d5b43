"""MIL's reductions, cumulative sums, and sorting.

Sums are in float32, and only the result is rounded; integers are summed as int32.  Parameters have MIL's names.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from export.coreml.interpret.attributes import integers_or, is_set
from export.coreml.interpret.instruction import Operation

INDEX_DTYPES = frozenset({"int32", "uint16"})
"""Types of indices that an operation can return; both are stored as int32."""
Reduction = Callable[[Tensor, list[int], bool], Tensor]


def reduction(function: Reduction) -> Operation:
    """Return the operation that reduces some axes; all axes if none are named."""

    def reduce(x: Tensor, axes: Tensor | None = None, keep_dims: Tensor | None = None) -> Tensor:
        return function(x, integers_or(axes, list(range(x.dim()))), is_set(keep_dims))

    return reduce


def product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    """Product over several axes."""
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep, dtype=x.dtype)
    return x


def mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    """Mean over several axes; for integers it is rounded down."""
    if x.is_floating_point():
        return x.mean(axes, keep)
    count = x.numel() // max(x.sum(axes, keep).numel(), 1)
    return x.sum(axes, keep, dtype=x.dtype) // count


REDUCTIONS: dict[str, Reduction] = {
    "reduce_l1_norm": lambda x, axes, keep: x.abs().sum(axes, keep, dtype=x.dtype),
    "reduce_l2_norm": lambda x, axes, keep: x.square().sum(axes, keep).sqrt(),
    "reduce_log_sum": lambda x, axes, keep: x.sum(axes, keep).log(),
    "reduce_log_sum_exp": lambda x, axes, keep: x.logsumexp(axes, keep),
    "reduce_max": lambda x, axes, keep: x.amax(axes, keep),
    "reduce_mean": mean,
    "reduce_min": lambda x, axes, keep: x.amin(axes, keep),
    "reduce_prod": product,
    "reduce_sum": lambda x, axes, keep: x.sum(axes, keep, dtype=x.dtype),
    "reduce_sum_square": lambda x, axes, keep: x.square().sum(axes, keep, dtype=x.dtype),
}


def arg_reduction(function: Callable[[Tensor, int, bool], Tensor]) -> Operation:
    """Return the operation that finds the place of a number along an axis: int32."""

    def reduce(
        x: Tensor, axis: Tensor | None = None, keep_dims: Tensor | None = None, output_dtype: str = "int32"
    ) -> Tensor:
        return function(x, -1 if axis is None else int(axis), is_set(keep_dims)).to(torch.int32)

    return reduce


def cumsum(
    x: Tensor, axis: Tensor | None = None, exclusive: Tensor | None = None, reverse: Tensor | None = None
) -> Tensor:
    """Cumulative sum along an axis; `exclusive` omits the number itself, `reverse` sums from the end."""
    place = 0 if axis is None else int(axis)
    x = x.flip(place) if is_set(reverse) else x
    sums = x.cumsum(place, dtype=x.dtype)
    if is_set(exclusive):
        sums = torch.cat([torch.zeros_like(sums.narrow(place, 0, 1)), sums.narrow(place, 0, x.shape[place] - 1)], place)
    return sums.flip(place) if is_set(reverse) else sums


def topk(
    x: Tensor,
    k: Tensor | None = None,
    axis: Tensor | None = None,
    ascending: Tensor | None = None,
    sort: Tensor | None = None,
    return_indices: Tensor | None = None,
    output_indices_dtype: str = "int32",
) -> Tensor | tuple[Tensor, Tensor]:
    """The k largest numbers of an axis (smallest if `ascending`), in order, with their places; k = -1 means all."""
    place = -1 if axis is None else int(axis)
    count = 1 if k is None else int(k)
    values, indices = x.sort(dim=place, descending=not is_set(ascending), stable=True)
    count = x.shape[place] if count == -1 else count
    values, indices = values.narrow(place, 0, count), indices.narrow(place, 0, count).to(torch.int32)
    return (values, indices) if return_indices is None or bool(return_indices) else values


def argsort(x: Tensor, axis: Tensor | None = None, ascending: Tensor | None = None) -> Tensor:
    """Places along an axis in the order of their numbers; largest first unless `ascending`."""
    place = -1 if axis is None else int(axis)
    return x.argsort(dim=place, descending=not is_set(ascending), stable=True).to(torch.int32)


REDUCTION: dict[str, Operation] = {
    **{name: reduction(function) for name, function in REDUCTIONS.items()},
    "argsort": argsort,
    "cumsum": cumsum,
    "reduce_argmax": arg_reduction(lambda x, axis, keep: x.argmax(axis, keep)),
    "reduce_argmin": arg_reduction(lambda x, axis, keep: x.argmin(axis, keep)),
    "topk": topk,
}
