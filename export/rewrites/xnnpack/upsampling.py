"""Nearest upsampling by two and the 3x3 convolution after it, as one convolution of the small map.

In the upsampled map every pixel occurs four times, so a 3x3 window covers only 2x2 different pixels.  Upsampling and
convolution together equal four 2x2 convolutions of the small map, one per phase, whose weights are sums of the 3x3
weights.  This needs 4 multiplications per output instead of 9, and no upsampled map.  A transposed 4x4 convolution
would compute the same, but in XNNPACK it takes nearly as long as the original.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.adapted import AdaptedConv2d
from mobile_diffusion.blocks import Upsample

TAPS = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
"""Axes (phase, tap of 2, tap of 3): 1 where one of the 3 taps falls on the first or the second of the 2 pixels."""
SIDE = 3


class UpsampledConvolution(nn.Module):
    """Nearest upsampling by two and a 3x3 convolution with padding 1, as one 2x2 convolution of the small map.

    The channels of the 2x2 convolution are (row phase, column phase, output).  The phases are stored in reverse order:
    interleaving them yields the large map with one additional row or column on each side, which is cut off.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        weight, taps = conv.weight.detach(), TAPS.to(conv.weight.dtype)
        phases = torch.einsum("pia,qjb,kcab->pqkcij", taps, taps, weight)  # (2, 2, K, C, 2, 2)
        self.register_buffer("weight", phases.flip(0, 1).flatten(0, 2))  # (4 K, C, 2, 2)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().repeat(4))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, K, 2h, 2w)."""
        batch, _, height, width = x.shape
        phases = F.conv2d(x, self.weight, self.bias, padding=1).permute(0, 2, 3, 1)  # (B, h + 1, w + 1, 4 K)
        rows = phases.reshape(batch, height + 1, width + 1, 2, -1).transpose(2, 3)  # (B, h + 1, 2, w + 1, 2 K)
        pixels = rows.reshape(batch, 2 * height + 2, 2 * width + 2, -1)
        return pixels[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


class ConvolutionsBeforeUpsampling(nn.Sequential):
    """A sequence with an `UpsampledConvolution` in place of each upsampling and its convolution."""


class UpsampleByBroadcast(nn.Module):
    """Repeats pixels by multiplying with ones that broadcast: exact, and with at most three axes."""

    pair_row: Tensor
    pair_column: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pair_row", torch.ones(1, 1, 2))
        self.register_buffer("pair_column", torch.ones(1, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 2h, 2w)."""
        batch, channels, height, width = x.shape
        wide = x.reshape(-1, width, 1) * self.pair_row  # (B * C * h, w, 2)
        tall = wide.reshape(-1, 1, 2 * width) * self.pair_column  # (B * C * h, 2, 2w)
        return tall.reshape(batch, channels, 2 * height, 2 * width)


def convolution_before_upsampling(module: nn.Module) -> nn.Module | None:
    """Return the replacement of the upsampling of the U-Net or of the autoencoder, or None.

    A convolution with room for adapters stays as it is, for they are factors of its own kernel.
    """
    if not isinstance(module, Upsample):
        return None
    if isinstance(module.conv, AdaptedConv2d):
        return nn.Sequential(UpsampleByBroadcast(), module.conv)
    return UpsampledConvolution(module.conv)


def convolutions_before_upsampling(module: nn.Module) -> nn.Module | None:
    """Return the replacement of a sequence with convolutions after upsamplings, as in the tiny autoencoder, or None.

    The names of the modules inside change.
    """
    if type(module) is not nn.Sequential or not any(map(_pair, module, list(module)[1:])):
        return None
    layers: list[nn.Module] = []
    for layer in module:
        if layers and _pair(layers[-1], layer):
            layers[-1] = UpsampledConvolution(layer)  # type: ignore[arg-type]
        else:
            layers.append(layer)
    return ConvolutionsBeforeUpsampling(*layers)


def upsampling(module: nn.Module) -> nn.Module | None:
    """Return the replacement of an upsampling without a convolution, or None."""
    return UpsampleByBroadcast() if type(module) is nn.Upsample and _doubles(module) else None


def _doubles(module: nn.Module) -> bool:
    """Return whether a layer repeats every pixel: the original, or its replacement (children are rewritten first)."""
    repeats = isinstance(module, nn.Upsample) and module.scale_factor == 2.0 and module.mode == "nearest"
    return repeats or isinstance(module, UpsampleByBroadcast)


def _pair(first: nn.Module, second: nn.Module) -> bool:
    """Return whether two layers are an upsampling and a 3x3 convolution that keeps the size of the map."""
    return (
        _doubles(first)
        and isinstance(second, nn.Conv2d)
        and not isinstance(second, AdaptedConv2d)
        and (second.kernel_size, second.padding, second.stride) == ((SIDE, SIDE), (1, 1), (1, 1))
        and (second.groups, second.dilation) == (1, (1, 1))
    )
