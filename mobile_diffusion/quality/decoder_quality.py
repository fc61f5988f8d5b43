"""LPIPS and PSNR of pictures that went through the autoencoder, or through one decoder in place of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mobile_diffusion.errors import DataError
from mobile_diffusion.quality.bootstrap import Interval, mean_interval
from mobile_diffusion.quality.images import check_images
from mobile_diffusion.training.images import psnr
from mobile_diffusion.training.lpips import Lpips

BATCH = 8

Reconstruct = Callable[[Tensor], Tensor]
"""Images float32 (1, 3, H, W) in [0, 1] -> the same pictures, encoded and decoded."""


@dataclass(frozen=True)
class DecoderQuality:
    """How well pictures come back."""

    pictures: int
    psnr_db: Interval
    lpips: Interval
    """Learned perceptual distance; lower is better."""


@torch.inference_mode()
def compare_images(images: Tensor, others: Tensor, lpips: Lpips, seed: int = 0) -> DecoderQuality:
    """PSNR and LPIPS between pairs of pictures (N, 3, H, W) in [0, 1]; DataError for shapes that differ."""
    if images.shape != others.shape:
        raise DataError(f"pictures: expected {tuple(images.shape)}, got {tuple(others.shape)}")
    pairs = [
        (check_images(left) * 2 - 1, check_images(right) * 2 - 1)
        for left, right in zip(images.split(BATCH), others.split(BATCH), strict=True)
    ]
    ratios = torch.cat([psnr(right, left) for left, right in pairs]).numpy()
    distances = torch.cat([lpips(left, right) for left, right in pairs]).double().numpy()
    return DecoderQuality(len(images), mean_interval(ratios, seed), mean_interval(distances, seed))


def decoder_quality(reconstruct: Reconstruct, images: Tensor, lpips: Lpips, seed: int = 0) -> DecoderQuality:
    """PSNR and LPIPS of pictures (N, 3, H, W) in [0, 1] against what `reconstruct` makes of them, one by one."""
    return compare_images(images, torch.cat([reconstruct(image[None]) for image in images]), lpips, seed)
