"""A decoder whose picture is bytes to look at: whole numbers from 0 to 255 instead of fractions of one."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from export.rewrites.replacement import recast
from export.stages import DecodeImage
from mobile_diffusion.errors import ExportError

PICTURE = "decode_image"
"""The stage that can give one."""
WHITE = 255.0


class DecodePixels(DecodeImage):
    """Latents to whole numbers, so that it does not matter how a system rounds when it makes bytes of them."""

    def forward(self, latents: Tensor) -> Tensor:
        """latents (1, C, h, w) -> image float32 (1, 3, H, W), 0, 1, ... 255."""
        return (super().forward(latents) * WHITE).round()


def with_pixels(module: nn.Module) -> nn.Module:
    """`decode_image`'s module in another form; shares all it holds.  ExportError when it is another module."""
    if not isinstance(module, DecodeImage):
        raise ExportError(f"expected the module of {PICTURE} for a pixel buffer, got {type(module).__name__}")
    return recast(module, DecodePixels)


def fractions(pixels: np.ndarray) -> np.ndarray:
    """The picture that the stage promises, of bytes: uint8 (H, W, 3) -> float32 (1, 3, H, W) from 0 to 1."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]).astype(np.float32) / np.float32(WHITE)
