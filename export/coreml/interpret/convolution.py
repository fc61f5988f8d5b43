"""MIL's convolutions and poolings.

Sums are in float32, and only the result is rounded.  Parameters have MIL's names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from export.coreml.interpret.attributes import integers, integers_or, is_set
from export.coreml.interpret.instruction import Operation

CONVOLUTIONS = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
TRANSPOSED = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}
MAXIMA: dict[int, Any] = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}
MEANS: dict[int, Any] = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}
Pairs = list[tuple[int, int]]
"""Padding at the start and at the end of each spatial axis."""


def same(sizes: list[int], kernel: list[int], strides: list[int], lower: bool) -> Pairs:
    """Return the padding for outputs of size ceil(size / stride).

    If the padding is odd, the larger half is at the end, or at the start if `lower`.
    """
    pairs = []
    for size, width, stride in zip(sizes, kernel, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + width - size, 0)
        small, large = total // 2, total - total // 2
        pairs.append((large, small) if lower else (small, large))
    return pairs


def in_pairs(pad: list[int]) -> Pairs:
    """Return MIL's vector of paddings as pairs, one per axis."""
    return list(zip(pad[0::2], pad[1::2], strict=True))


PADDINGS: dict[str, Callable[[list[int], list[int], list[int], list[int]], Pairs]] = {
    "valid": lambda sizes, kernel, strides, pad: [(0, 0)] * len(sizes),
    "custom": lambda sizes, kernel, strides, pad: in_pairs(pad),
    "same": lambda sizes, kernel, strides, pad: same(sizes, kernel, strides, lower=False),
    "same_lower": lambda sizes, kernel, strides, pad: same(sizes, kernel, strides, lower=True),
}


def pad_by(x: Tensor, pairs: Pairs, value: float = 0.0) -> Tensor:
    """Return x (B, C, ...) with its spatial axes padded by a constant."""
    flat = [size for pair in reversed(pairs) for size in pair]  # torch: innermost first
    return F.pad(x, flat, value=value) if any(flat) else x


def even(pairs: Pairs) -> bool:
    """Return whether each axis has the same padding at both ends."""
    return all(before == after for before, after in pairs)


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Tensor | None = None,
    pad_type: str = "valid",
    pad: Tensor | None = None,
    dilations: Tensor | None = None,
    groups: Tensor | None = None,
) -> Tensor:
    """Convolution of (B, C_in, ...) with (C_out, C_in / groups, ...)."""
    x, steps, padding, spread = convolution_of(x, weight, strides, pad_type, pad, dilations)
    return CONVOLUTIONS[x.dim()](x, weight, bias, steps, padding, spread, 1 if groups is None else int(groups))


def convolution_of(
    x: Tensor, weight: Tensor, strides: Tensor | None, pad_type: str, pad: Tensor | None, dilations: Tensor | None
) -> tuple[Tensor, list[int], list[int], list[int]]:
    """Return x, strides, padding and dilations in torch's form; uneven padding is added to x."""
    axes = x.dim() - 2
    steps, spread = integers_or(strides, [1] * axes), integers_or(dilations, [1] * axes)
    width = [(size - 1) * each + 1 for size, each in zip(weight.shape[2:], spread, strict=True)]
    pairs = PADDINGS[pad_type](list(x.shape[2:]), width, steps, integers_or(pad, [0] * 2 * axes))
    if even(pairs):
        return x, steps, [before for before, _ in pairs], spread
    return pad_by(x, pairs), steps, [0] * axes, spread


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: Tensor | None = None,
    output_shape: Tensor | None = None,
    pad_type: str = "valid",
    strides: Tensor | None = None,
    dilations: Tensor | None = None,
    groups: Tensor | None = None,
) -> Tensor:
    """Transposed convolution of (B, C_in, ...) with (C_in, C_out / groups, ...), cropped by its padding."""
    axes = x.dim() - 2
    steps, spread = integers_or(strides, [1] * axes), integers_or(dilations, [1] * axes)
    count = 1 if groups is None else int(groups)
    full = TRANSPOSED[x.dim()](x, weight, bias, steps, 0, 0, count, spread)
    known = None if output_shape is None else integers(output_shape)[2:]
    sizes = TRANSPOSED_SIZES[pad_type](list(x.shape[2:]), list(full.shape[2:]), steps, integers_or(pad, [0] * 2 * axes))
    for axis, (first, size) in enumerate(sizes):
        length = size if known is None else known[axis]
        missing = first + length - full.shape[axis + 2]
        if missing > 0:  # the output shape extends beyond the result: only the bias
            full = beyond(full, bias, axis + 2, missing)
        full = full.narrow(axis + 2, first, length)
    return full


def beyond(full: Tensor, bias: Tensor | None, axis: int, count: int) -> Tensor:
    """Append `count` entries to an axis that contain only the bias."""
    shape = list(full.shape)
    shape[axis] = count
    alone = torch.zeros(shape) if bias is None else bias.reshape(1, -1, *[1] * (full.dim() - 2)).expand(shape)
    return torch.cat([full, alone], dim=axis)


TRANSPOSED_SIZES: dict[str, Callable[[list[int], list[int], list[int], list[int]], Pairs]] = {
    "valid": lambda sizes, full, strides, pad: [(0, size) for size in full],
    "custom": lambda sizes, full, strides, pad: [
        (before, size - before - after) for size, (before, after) in zip(full, in_pairs(pad), strict=True)
    ],
    "same": lambda sizes, full, strides, pad: [
        (max(whole - size * stride, 0) // 2, size * stride)
        for size, whole, stride in zip(sizes, full, strides, strict=True)
    ],
}
"""Maps a kind of padding to a function that returns where the output starts on each axis of the full result, and its
size."""


def pooled(
    function: dict[int, Any], x: Tensor, kernel: Tensor, strides: Tensor | None, pairs: Pairs, fill: float, ceil: bool
) -> Tensor:
    """Return one of torch's poolings of x (B, C, ...)."""
    sizes = integers(kernel)
    steps = integers_or(strides, [1] * len(sizes))
    if even(pairs) and all(2 * before <= size for (before, _), size in zip(pairs, sizes, strict=True)):
        return function[x.dim()](x, sizes, steps, [before for before, _ in pairs], ceil_mode=ceil)
    return function[x.dim()](pad_by(x, pairs, fill), sizes, steps, ceil_mode=ceil)


def window_pairs(x: Tensor, kernel: Tensor, strides: Tensor | None, pad_type: str, pad: Tensor | None) -> Pairs:
    """Return the padding of a pooling."""
    sizes = integers(kernel)
    steps = integers_or(strides, [1] * len(sizes))
    return PADDINGS[pad_type](list(x.shape[2:]), sizes, steps, integers_or(pad, [0] * 2 * len(sizes)))


def max_pool(
    x: Tensor,
    kernel_sizes: Tensor,
    pad_type: str,
    strides: Tensor | None = None,
    pad: Tensor | None = None,
    ceil_mode: Tensor | None = None,
) -> Tensor:
    """Maximum of each window."""
    pairs = window_pairs(x, kernel_sizes, strides, pad_type, pad)
    return pooled(MAXIMA, x, kernel_sizes, strides, pairs, -torch.inf, is_set(ceil_mode))


def avg_pool(
    x: Tensor,
    kernel_sizes: Tensor,
    pad_type: str,
    strides: Tensor | None = None,
    pad: Tensor | None = None,
    exclude_padding_from_average: Tensor | None = None,
    ceil_mode: Tensor | None = None,
) -> Tensor:
    """Mean of each window; padding counts as zeros or is excluded."""
    pairs = window_pairs(x, kernel_sizes, strides, pad_type, pad)
    means = pooled(MEANS, x, kernel_sizes, strides, pairs, 0.0, is_set(ceil_mode))
    if not is_set(exclude_padding_from_average):
        return means
    return means / pooled(MEANS, torch.ones_like(x[:1, :1]), kernel_sizes, strides, pairs, 0.0, is_set(ceil_mode))


def l2_pool(
    x: Tensor,
    kernel_sizes: Tensor,
    pad_type: str,
    strides: Tensor | None = None,
    pad: Tensor | None = None,
    ceil_mode: Tensor | None = None,
) -> Tensor:
    """Root of the sum of squares of each window; no window extends beyond the padding (`CHECKS` rejects ceil_mode)."""
    count = math.prod(integers(kernel_sizes))
    return (avg_pool(x.square(), kernel_sizes, pad_type, strides, pad) * count).sqrt()


CONVOLUTION: dict[str, Operation] = {
    "avg_pool": avg_pool,
    "conv": conv,
    "conv_transpose": conv_transpose,
    "l2_pool": l2_pool,
    "max_pool": max_pool,
}
