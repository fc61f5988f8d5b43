"""Layers with room for adapters in the Neural Engine's layout (neural_engine.py): their products are einsums."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from export.rewrites.split_einsum import Projection
from mobile_diffusion.adapted import AdaptedConv2d, AdaptedLinear, by_position, shifted_sum


class ChannelsFirstAdaptedLinear(Projection):
    """A linear layer with room for adapters."""

    def __init__(self, linear: AdaptedLinear) -> None:
        super().__init__(linear)
        self.name, self.factors = linear.name, linear.factors

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, 1, S) -> (B, outputs, 1, S)."""
        found = self.factors.of[self.name]
        return super().forward(x) + product(found.up, product(found.down, x))


class ChannelsFirstAdaptedConv2d(nn.Module):
    """A convolution with room for adapters."""

    def __init__(self, own: AdaptedConv2d) -> None:
        super().__init__()
        self.own, self.name, self.factors = own, own.name, own.factors

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h', w')."""
        found, kernel, stride = self.factors.of[self.name], self.own.kernel_size[0], self.own.stride[0]
        row = x.reshape(*x.shape[:2], 1, -1)  # (B, in, 1, h*w)
        added = product(by_position(found.down, kernel), row).reshape(
            x.shape[0], -1, *x.shape[2:]
        )  # (B, kh*kw*R, h, w)
        if kernel > 1 or stride > 1:
            total = shifted_sum(added.permute(0, 2, 3, 1), kernel, stride, int(self.own.padding[0]))
            added = total.permute(0, 3, 1, 2)  # (B, R, h', w')
        change = product(found.up, added.reshape(*added.shape[:2], 1, -1))  # (B, out, 1, h'*w')
        return nn.Conv2d.forward(self.own, x) + change.reshape(x.shape[0], -1, *added.shape[2:])


def product(factor: Tensor, x: Tensor) -> Tensor:
    """factor (1, C, C'), x (B, C, 1, S) -> (B, C', 1, S)."""
    rows = factor.transpose(1, 2).unsqueeze(2).expand(x.shape[0], -1, -1, -1)  # (B, C', 1, C)
    return torch.einsum("bchk,bkhq->bchq", rows, x)


ADAPTED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    AdaptedLinear: ChannelsFirstAdaptedLinear,
    AdaptedConv2d: ChannelsFirstAdaptedConv2d,
}
"""Maps each class to the one that takes its place."""
