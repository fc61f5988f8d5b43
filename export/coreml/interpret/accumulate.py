"""Operations with running sums that are rounded to float16 (the mode "fp16-accumulate").

Apple has not published how the Neural Engine adds.  We assume that it adds part by part: the PART products of a part
are exact, their sum is rounded to float16 and added to the running sum, and the running sum is rounded to float16.  A
result of K products then has 2 K / PART roundings, each at most 2^-11 of the largest running sum, so its error is at
most K / PART * 2^-10 * sum |product| (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 4.2, for
sums in order).  The bound also holds for another order of the parts and for wider sums, but not for hardware that
rounds within a part.  A running sum can overflow float16 even if the result does not.  A mean is computed as a running
mean, not as a sum that is divided at the end: the sum over a picture would overflow float16, yet networks with such
means run on the Neural Engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from export.coreml.interpret.activation import of_channels
from export.coreml.interpret.attributes import integers_or, is_set, number_or
from export.coreml.interpret.convolution import CONVOLUTIONS, conv_transpose, convolution_of
from export.coreml.interpret.instruction import Operation
from export.coreml.interpret.normalization import EPSILON, affine, channel_affine, norm_places
from export.coreml.interpret.product import einsum_by, masked, transposed

PART = 32
"""Number of products whose sum is exact."""
PARTS = 1024
"""Most parts of a reduction; a longer reduction has larger parts."""


def half(x: Tensor) -> Tensor:
    """Return every number rounded to float16."""
    return x.half().float()


def running_sum(parts: Iterable[Tensor]) -> Tensor:
    """Return the sum of the parts, added in order and rounded after each."""
    total: Tensor | None = None
    for part in parts:
        total = half(part) if total is None else half(total.add_(half(part)))
    assert total is not None
    return total


def product(x: Tensor, y: Tensor) -> Tensor:
    """(..., M, K) and (..., K, N) or (K,) -> (..., M, N), with a running sum over K."""
    size, axis = x.shape[-1], -1 if y.dim() == 1 else -2
    starts = range(0, max(size, 1), PART)
    return running_sum(
        torch.matmul(x[..., first : first + PART], y.narrow(axis, first, min(PART, size - first))) for first in starts
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias."""
    total = product(x, weight.T)
    return total if bias is None else total + bias


def matmul(x: Tensor, y: Tensor, transpose_x: Tensor | None = None, transpose_y: Tensor | None = None) -> Tensor:
    """Matrix product with numpy's broadcasting."""
    return product(transposed(x, transpose_x), transposed(y, transpose_y))


def einsum(values: tuple[Tensor, ...], equation: str) -> Tensor:
    """Product of two tensors by an equation of letters."""
    return einsum_by(product, values, equation)


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
    """Convolution; a part has as many channels as PART products allow, and at least one."""
    x, steps, padding, spread = convolution_of(x, weight, strides, pad_type, pad, dilations)
    count = 1 if groups is None else int(groups)
    grouped = x.unflatten(1, (count, -1))  # (B, groups, C_in / groups, ...)
    share = max(PART // math.prod(weight.shape[2:]), 1)
    convolve = CONVOLUTIONS[x.dim()]
    total = running_sum(
        convolve(
            grouped[:, :, first : first + share].flatten(1, 2),
            weight[:, first : first + share],
            None,
            steps,
            padding,
            spread,
            count,
        )
        for first in range(0, weight.shape[1], share)
    )
    return total if bias is None else total + of_channels(bias, total)


def transposed_conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Tensor | str) -> Tensor:
    """Transposed convolution; a part has as many channels as PART products allow."""
    if is_grouped(options):
        return conv_transpose(x, weight, bias, **options)  # type: ignore[arg-type]
    share = max(PART // math.prod(weight.shape[2:]), 1)
    total = running_sum(
        conv_transpose(x[:, first : first + share], weight[first : first + share], None, **options)  # type: ignore[arg-type]
        for first in range(0, weight.shape[0], share)
    )
    return total if bias is None else total + of_channels(bias, total)


def is_grouped(options: dict[str, Tensor | str]) -> bool:
    """Return whether a convolution has more than one group."""
    groups = options.get("groups")
    return isinstance(groups, Tensor) and int(groups) > 1


def lines(x: Tensor, axes: list[int]) -> tuple[Tensor, list[int]]:
    """Return x (..., n) with some axes merged into the last, and the shape of a reduction that keeps these axes."""
    places = sorted(axis % x.dim() for axis in axes)
    others = [axis for axis in range(x.dim()) if axis not in places]
    flat = x.permute(*others, *places).flatten(len(others)) if places else x.unsqueeze(-1)
    return flat, [1 if axis in places else size for axis, size in enumerate(x.shape)]


def parts_of(flat: Tensor) -> tuple[Tensor, ...]:
    """Split the last axis into parts."""
    return flat.split(max(PART, -(-flat.shape[-1] // PARTS)), dim=-1)


def sum_over(x: Tensor, axes: list[int]) -> Tensor:
    """Running sum over some axes, which stay with size 1."""
    flat, shape = lines(x, axes)
    return running_sum(part.sum(-1) for part in parts_of(flat)).reshape(shape)


def mean_over(x: Tensor, axes: list[int]) -> Tensor:
    """Running mean over some axes, which stay with size 1: m + (part's mean - m) * share, each step rounded."""
    flat, shape = lines(x, axes)
    mean, count = torch.zeros(flat.shape[:-1]), 0
    for part in parts_of(flat):
        count += part.shape[-1]
        mean = half(mean + half((half(part.mean(-1)) - mean) * (part.shape[-1] / count)))
    return mean.reshape(shape)


def kept(total: Tensor, axes: list[int], keep: Tensor | None) -> Tensor:
    """Return a reduction with its axes of size 1, or without these axes."""
    return total if is_set(keep) else total.squeeze(tuple(axes)) if axes else total


def all_or(axes: Tensor | None, x: Tensor) -> list[int]:
    """Return the axes of a reduction; all axes if none are named."""
    return integers_or(axes, list(range(x.dim())))


def reduce_mean(x: Tensor, axes: Tensor | None = None, keep_dims: Tensor | None = None) -> Tensor:
    """Mean over some axes."""
    places = all_or(axes, x)
    return kept(mean_over(x, places), places, keep_dims)


def reduce_sum(x: Tensor, axes: Tensor | None = None, keep_dims: Tensor | None = None) -> Tensor:
    """Sum over some axes."""
    places = all_or(axes, x)
    return kept(sum_over(x, places), places, keep_dims)


def reduce_sum_square(x: Tensor, axes: Tensor | None = None, keep_dims: Tensor | None = None) -> Tensor:
    """Sum of squares over some axes."""
    return reduce_sum(x.square(), axes, keep_dims)


def reduce_l1_norm(x: Tensor, axes: Tensor | None = None, keep_dims: Tensor | None = None) -> Tensor:
    """Sum of magnitudes over some axes."""
    return reduce_sum(x.abs(), axes, keep_dims)


def reduce_l2_norm(x: Tensor, axes: Tensor | None = None, keep_dims: Tensor | None = None) -> Tensor:
    """Root of the sum of squares over some axes."""
    return reduce_sum(x.square(), axes, keep_dims).sqrt()


def standard(x: Tensor, axes: list[int], epsilon: Tensor | None) -> Tensor:
    """(x - E[x]) / sqrt(Var[x] + epsilon), with running means."""
    moved = half(x - mean_over(x, axes))
    return half(moved * (mean_over(moved.square(), axes) + number_or(epsilon, EPSILON)).rsqrt())


def layer_norm(
    x: Tensor,
    axes: Tensor | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Tensor | None = None,
) -> Tensor:
    """gamma (x - E[x]) / sqrt(Var[x] + epsilon) + beta over some axes."""
    places = norm_places(x, axes)
    return affine(standard(x, places, epsilon), places, gamma, beta)


def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: Tensor | None = None
) -> Tensor:
    """Normalization of each channel of each sample."""
    return channel_affine(standard(x, list(range(2, x.dim())), epsilon), gamma, beta)


def l2_norm(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """x divided by the root of the sum of its squares over the last three axes."""
    return x * (sum_over(x.square(), [-3, -2, -1]) + number_or(epsilon, 1e-6)).rsqrt()


def softmax(x: Tensor, axis: Tensor | None = None) -> Tensor:
    """Softmax along one axis; exponentials, their sum and the quotients are rounded."""
    place = -1 if axis is None else int(axis)
    powers = half((x - x.amax(place, keepdim=True)).exp())
    return powers / sum_over(powers, [place])


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """softmax(query key^T / sqrt(E) + mask) value, rounded after each step."""
    scores = half(product(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1]))
    return product(half(softmax(scores if attn_mask is None else half(masked(scores, attn_mask)))), value)


ACCUMULATED: dict[str, Operation] = {
    "conv": conv,
    "conv_transpose": transposed_conv,
    "einsum": einsum,
    "instance_norm": instance_norm,
    "l2_norm": l2_norm,
    "layer_norm": layer_norm,
    "linear": linear,
    "matmul": matmul,
    "reduce_l1_norm": reduce_l1_norm,
    "reduce_l2_norm": reduce_l2_norm,
    "reduce_mean": reduce_mean,
    "reduce_sum": reduce_sum,
    "reduce_sum_square": reduce_sum_square,
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "softmax": softmax,
}
"""The operations that sum, by their MIL names; all other operations are those of `OPS`."""
