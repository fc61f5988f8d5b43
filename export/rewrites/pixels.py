"""A decoder whose picture has whole numbers from 0 to 255 as values, instead of fractions of one."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from export.rewrites.replacement import recast
from export.stages import DecodeImage
from mobile_diffusion.errors import ExportError

PICTURE = "decode_image"
"""The stage that can return such a picture."""
WHITE = 255.0


class DecodePixels(DecodeImage):
    """Decodes latents to whole numbers, so that the result does not depend on how a system rounds them to bytes."""

    def forward(self, latents: Tensor) -> Tensor:
        """latents (1, C, h, w) -> image float32 (1, 3, H, W), 0, 1, ... 255."""
        return (super().forward(latents) * WHITE).round()


def with_pixels(module: nn.Module) -> nn.Module:
    """Return the module of `decode_image` with whole numbers as output; it shares the weights.

    Raises `ExportError` for the module of another stage.
    """
    if not isinstance(module, DecodeImage):
        raise ExportError(f"expected the module of {PICTURE} for a pixel buffer, got {type(module).__name__}")
    return recast(module, DecodePixels)


def fractions(pixels: np.ndarray) -> np.ndarray:
    """Return a picture of bytes in the stage's format: uint8 (H, W, 3) -> float32 (1, 3, H, W), values in [0, 1]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]).astype(np.float32) / np.float32(WHITE)
