"""MIL's normalizations and softmax.

Sums are in float32, and only the result is rounded; `accumulate.py` has the same operations with rounded sums.
Parameters have MIL's names.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from export.coreml.interpret.activation import of_channels
from export.coreml.interpret.attributes import integers_or, number_or
from export.coreml.interpret.instruction import Operation

EPSILON = 1e-5
"""MIL's default epsilon."""


def softmax(x: Tensor, axis: Tensor | None = None) -> Tensor:
    """Softmax along one axis."""
    return x.softmax(dim=-1 if axis is None else int(axis))


def norm_places(x: Tensor, axes: Tensor | None) -> list[int]:
    """Return the axes of a layer norm, in order."""
    return sorted(axis % x.dim() for axis in integers_or(axes, list(range(x.dim()))))


def layer_norm(
    x: Tensor,
    axes: Tensor | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Tensor | None = None,
) -> Tensor:
    """gamma (x - E[x]) / sqrt(Var[x] + epsilon) + beta over some axes; gamma and beta have their sizes."""
    places = norm_places(x, axes)
    if places == list(range(x.dim() - len(places), x.dim())):
        return F.layer_norm(x, x.shape[-len(places) :], gamma, beta, number_or(epsilon, EPSILON))
    mean = x.mean(places, keepdim=True)
    variance = (x - mean).square().mean(places, keepdim=True)
    return affine((x - mean) * (variance + number_or(epsilon, EPSILON)).rsqrt(), places, gamma, beta)


def affine(x: Tensor, places: list[int], gamma: Tensor | None, beta: Tensor | None) -> Tensor:
    """gamma x + beta; gamma and beta have the sizes of some axes of x."""
    shape = [size if place in places else 1 for place, size in enumerate(x.shape)]
    x = x if gamma is None else x * gamma.reshape(shape)
    return x if beta is None else x + beta.reshape(shape)


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Tensor | None = None,
) -> Tensor:
    """Normalization of each channel by its stored mean and variance."""
    return F.batch_norm(x, mean, variance, gamma, beta, training=False, eps=number_or(epsilon, EPSILON))


def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: Tensor | None = None
) -> Tensor:
    """Normalization of each channel of each sample."""
    return F.instance_norm(x, weight=gamma, bias=beta, eps=number_or(epsilon, EPSILON))


def l2_norm(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """x divided by the root of the sum of its squares over the last three axes."""
    return x * (x.square().sum((-3, -2, -1), keepdim=True) + number_or(epsilon, 1e-6)).rsqrt()


def local_response_norm(
    x: Tensor, size: Tensor, alpha: Tensor | None = None, beta: Tensor | None = None, k: Tensor | None = None
) -> Tensor:
    """x divided by (k + alpha / size * sum of squares of `size` adjacent channels)^beta."""
    return F.local_response_norm(x, int(size), number_or(alpha, 1e-4), number_or(beta, 0.75), number_or(k, 1.0))


def channel_affine(x: Tensor, gamma: Tensor | None, beta: Tensor | None) -> Tensor:
    """gamma x + beta with one gamma and beta per channel of x (B, C, ...)."""
    x = x if gamma is None else x * of_channels(gamma, x)
    return x if beta is None else x + of_channels(beta, x)


NORMALIZATION: dict[str, Operation] = {
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "l2_norm": l2_norm,
    "layer_norm": layer_norm,
    "local_response_norm": local_response_norm,
    "softmax": softmax,
}
