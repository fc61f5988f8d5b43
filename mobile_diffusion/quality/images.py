"""Batches of pictures in the form that the metric networks take: float32 (B, 3, H, W) in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobile_diffusion.errors import DataError

Picture = NDArray[np.uint8] | NDArray[np.float32]
"""(H, W, 3): uint8, or float in [0, 1]."""


def stack_pictures(pictures: Sequence[Picture]) -> Tensor:
    """Stack pictures of one size to float32 (B, 3, H, W) in [0, 1]; raise DataError for other shapes and values."""
    shapes = {picture.shape for picture in pictures}
    if len(shapes) != 1:
        raise DataError(f"pictures: expected one or more of the same shape, got the shapes {sorted(shapes)}")
    stacked = torch.from_numpy(np.stack(list(pictures)))  # (B, H, W, 3)
    scaled = stacked.float() / 255 if stacked.dtype == torch.uint8 else stacked.float()
    return check_images(scaled.permute(0, 3, 1, 2).contiguous())


def check_images(images: Tensor) -> Tensor:
    """Return the images; raise DataError unless they are float (B, 3, H, W) with B > 0, finite and in [0, 1]."""
    if images.ndim != 4 or images.shape[1] != 3 or not len(images) or not images.is_floating_point():
        raise DataError(f"images: expected float (B, 3, H, W), got {images.dtype} {tuple(images.shape)}")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):  # true for NaN too
        raise DataError(f"images: expected values from 0 to 1, got {low:.3g} to {high:.3g}; divide uint8 by 255")
    return images
