"""Layers with room for adapters (LoRA, Hu et al. 2021) that a drawing turns on and off without new weights.

The factors of n adapters are one tensor (n, r, P), an input of `denoise` beside their scales (n,).  Row j of an adapter
is its j-th difference of rank one in every layer; an adapter of a lower rank has zeros in its last rows.  The P columns
are the factors "down" of all layers in order, then the factors "up".  A layer computes

    y = W x + sum over adapters of scale * up (down x),

which is what its merged weight would compute.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.adapter_config import AdapterConfig, columns_of

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class LayerFactors:
    """The factors of one layer, of all adapters: R = n * r rows."""

    down: Tensor
    """(1, in * kernel, R); of a convolution, position in the kernel first: kh * kw * in."""
    up: Tensor
    """(1, R, out), with the scale in it."""


class Factors:
    """What the layers of one network read while it is evaluated.

    Not a module: exporters must not take what is in it for weights.
    """

    def __init__(self, config: AdapterConfig | None) -> None:
        self.config = config
        self.of: dict[str, LayerFactors] = {}

    def set(self, adapters: Tensor | None, scales: Tensor | None) -> None:
        """adapters (n, r, P), scales (n,): split them into those of each layer; None for a network without room."""
        if self.config is None or adapters is None or scales is None:
            return
        count, rank, width = adapters.shape
        middle = self.config.down_width
        downs = adapters[:, :, :middle].reshape(1, count * rank, middle).transpose(1, 2)  # (1, down, R)
        scaled = adapters[:, :, middle:] * scales.reshape(count, 1, 1)
        ups = scaled.reshape(1, count * rank, width - middle)  # (1, R, up)
        for name, place in columns_of(self.config).items():
            self.of[name] = LayerFactors(downs[:, place.down : place.down_end], ups[:, :, place.up : place.up_end])


class AdaptedLinear(nn.Linear):
    """A linear layer with room for adapters."""

    name: str
    factors: Factors

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return super().forward(x) + low_rank(x, self.factors.of[self.name])


class AdaptedConv2d(nn.Conv2d):
    """A convolution with room for adapters."""

    name: str
    factors: Factors

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h', w')."""
        found = self.factors.of[self.name]
        positions = x.permute(0, 2, 3, 1)  # (B, h, w, in)
        if self.kernel_size == (1, 1) and self.stride == (1, 1):
            change = low_rank(positions, found)
        else:
            change = low_rank_kernel(positions, found, self.kernel_size[0], self.stride[0], int(self.padding[0]))
        return super().forward(x) + change.permute(0, 3, 1, 2)


def low_rank(x: Tensor, factors: LayerFactors) -> Tensor:
    """up (down x): (..., in) -> (..., out)."""
    rows = x.reshape(1, -1, x.shape[-1])  # (1, N, in)
    return torch.bmm(torch.bmm(rows, factors.down), factors.up).reshape(*x.shape[:-1], -1)


def low_rank_kernel(x: Tensor, factors: LayerFactors, kernel: int, stride: int, padding: int) -> Tensor:
    """The same for a convolution, x (B, h, w, in) -> (B, h', w', out).

    Few runtimes take the kernel of a convolution as an input.  So one matrix product computes what each position in
    the kernel adds to an output, and these maps are shifted and added.
    """
    batch, height, width, channels = x.shape
    rank = factors.down.shape[2]
    down = by_position(factors.down, kernel)
    products = torch.bmm(x.reshape(1, -1, channels), down).reshape(batch, height, width, -1)
    total = shifted_sum(products, kernel, stride, padding)  # (B, h', w', R)
    return torch.bmm(total.reshape(1, -1, rank), factors.up).reshape(*total.shape[:3], -1)


def by_position(down: Tensor, kernel: int) -> Tensor:
    """The factors (1, kh * kw * in, R) of a kernel as (1, in, kh * kw * R)."""
    places, rank = kernel * kernel, down.shape[2]
    each = down.reshape(places, -1, rank)  # (kh * kw, in, R)
    return each.transpose(0, 1).reshape(1, -1, places * rank)


def shifted_sum(products: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """(B, h, w, kh * kw * R) -> (B, h', w', R): at each output, the sum of what the positions of its kernel add.

    Written without slices that leave out every second position, which XNNPACK does not have.
    """
    batch, *sides, columns = products.shape
    rank, reach = columns // (kernel * kernel), (kernel - 1) // stride
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side in sides)
    below, right = ((span + reach) * stride - side - padding for span, side in zip((height, width), sides, strict=True))
    padded = F.pad(products, (0, 0, padding, right, padding, below))
    grid = padded.reshape(batch, height + reach, stride, width + reach, stride, columns) if stride > 1 else padded
    total: Tensor | None = None
    for place in range(kernel * kernel):
        (row, row_rest), (column, column_rest) = (divmod(each, stride) for each in divmod(place, kernel))
        ranks = slice(place * rank, (place + 1) * rank)
        if stride > 1:
            rows = grid[:, row : row + height, row_rest : row_rest + 1]
            part = rows[:, :, :, column : column + width, column_rest : column_rest + 1, ranks]
            part = part.reshape(batch, height, width, rank)
        else:
            part = grid[:, row : row + height, column : column + width, ranks]
        total = part if total is None else total + part
    assert total is not None
    return total


def adapted(network: Network, config: AdapterConfig | None) -> tuple[Network, Factors]:
    """A copy of a network with room for adapters, which shares its weights, and what its adapted layers read.

    Without a configuration it is the network itself, and nothing is read.
    """
    factors = Factors(config)
    if config is None:
        return network, factors
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    result = copy.deepcopy(network, shared)
    for layer in config.layers:
        parent, _, attribute = layer.name.rpartition(".")
        own = result.get_submodule(layer.name)
        kind = AdaptedLinear if isinstance(own, nn.Linear) else AdaptedConv2d
        new: nn.Module = kind.__new__(kind)
        new.__dict__.update(own.__dict__, name=layer.name, factors=factors)
        setattr(result.get_submodule(parent), attribute, new)
    return result, factors
