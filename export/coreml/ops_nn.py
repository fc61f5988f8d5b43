"""MIL operations that sum: convolution, matrix products, normalisation, reduction, interpolation.

Sums are in float32 and only the result is rounded.  That is the best a device can do; the Neural Engine may
accumulate in less.  Parameters are named as in MIL.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from export.coreml.attributes import choose, integers, require
from export.coreml.ops_elementwise import Operation

CONVOLUTIONS = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}


def conv(
    x: Tensor,
    weight: Tensor,
    strides: Tensor,
    pad_type: str,
    pad: Tensor,
    dilations: Tensor,
    groups: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    """Convolution of (B, C_in, ...) with (C_out, C_in / groups, ...); "same" padding is not implemented."""
    x, padding = choose("conv", "pad_type", pad_type, PADDINGS)(x, integers(pad))
    convolve = CONVOLUTIONS[x.dim()]
    return convolve(x, weight, bias, integers(strides), padding, integers(dilations), int(groups))


def padded(x: Tensor, pad: list[int]) -> tuple[Tensor, list[int]]:
    """x and the padding that the convolution is to add; what is uneven is added to x here."""
    before, after = pad[0::2], pad[1::2]
    if before == after:
        return x, before
    pairs = list(zip(before, after, strict=True))[::-1]  # torch: innermost first
    return F.pad(x, [size for pair in pairs for size in pair]), [0] * len(before)


PADDINGS: dict[str, Callable[[Tensor, list[int]], tuple[Tensor, list[int]]]] = {
    "valid": lambda x, pad: (x, [0] * (x.dim() - 2)),
    "custom": padded,
}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias."""
    return F.linear(x, weight, bias)


def matmul(x: Tensor, y: Tensor, transpose_x: Tensor, transpose_y: Tensor) -> Tensor:
    """Matrix product with numpy's broadcasting; the transpositions do not concern vectors."""
    x = x.transpose(-1, -2) if transpose_x and x.dim() > 1 else x
    y = y.transpose(-1, -2) if transpose_y and y.dim() > 1 else y
    return torch.matmul(x, y)


def layer_norm(
    x: Tensor, axes: Tensor, epsilon: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None
) -> Tensor:
    """gamma (x - E[x]) / sqrt(Var[x] + epsilon) + beta over the last axes."""
    places = sorted(axis % x.dim() for axis in integers(axes))
    require("layer_norm", "axes", places, list(range(x.dim() - len(places), x.dim())))
    return F.layer_norm(x, x.shape[-len(places) :], gamma, beta, float(epsilon))


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
) -> Tensor:
    """Normalisation of every channel by stored mean and variance."""
    return F.batch_norm(x, mean, variance, gamma, beta, training=False, eps=float(epsilon))


def instance_norm(x: Tensor, epsilon: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None) -> Tensor:
    """Normalisation of every channel of every sample."""
    return F.instance_norm(x, weight=gamma, bias=beta, eps=float(epsilon))


def upsample_bilinear(
    x: Tensor, scale_factor_height: Tensor, scale_factor_width: Tensor, align_corners: Tensor
) -> Tensor:
    """Linear interpolation: (B, C, h, w) -> (B, C, h fh, w fw)."""
    size = [int(x.shape[-2] * float(scale_factor_height)), int(x.shape[-1] * float(scale_factor_width))]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=bool(align_corners))


def reduction(function: Callable[[Tensor, list[int], bool], Tensor]) -> Operation:
    """An operation over some axes, all when none is named."""

    def reduce(x: Tensor, axes: Tensor | None = None, keep_dims: Tensor | None = None) -> Tensor:
        places = list(range(x.dim())) if axes is None else integers(axes)
        return function(x, places, keep_dims is not None and bool(keep_dims))

    return reduce


REDUCTIONS: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "reduce_l1_norm": lambda x, axes, keep: x.abs().sum(axes, keep),
    "reduce_l2_norm": lambda x, axes, keep: x.square().sum(axes, keep).sqrt(),
    "reduce_log_sum_exp": lambda x, axes, keep: x.logsumexp(axes, keep),
    "reduce_max": lambda x, axes, keep: x.amax(axes, keep),
    "reduce_mean": lambda x, axes, keep: x.mean(axes, keep),
    "reduce_min": lambda x, axes, keep: x.amin(axes, keep),
    "reduce_sum": lambda x, axes, keep: x.sum(axes, keep, dtype=x.dtype),
    "reduce_sum_square": lambda x, axes, keep: x.square().sum(axes, keep, dtype=x.dtype),
}
NEURAL: dict[str, Operation] = {
    **{name: reduction(function) for name, function in REDUCTIONS.items()},
    "batch_norm": batch_norm,
    "conv": conv,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "linear": linear,
    "matmul": matmul,
    "upsample_bilinear": upsample_bilinear,
}
