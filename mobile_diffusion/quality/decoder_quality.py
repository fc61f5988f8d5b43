"""LPIPS and PSNR between pictures and their reconstructions by an autoencoder, or between two decoders."""

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
"""Takes an image float32 (1, 3, H, W) in [0, 1] and returns it encoded and decoded, with the same shape and range."""


@dataclass(frozen=True)
class DecoderQuality:
    """How similar pictures and their reconstructions are."""

    pictures: int
    psnr_db: Interval
    """Peak signal-to-noise ratio in dB; higher is better."""
    lpips: Interval
    """Learned perceptual distance; lower is better."""


@torch.inference_mode()
def compare_images(images: Tensor, others: Tensor, lpips: Lpips, seed: int = 0) -> DecoderQuality:
    """PSNR and LPIPS between pairs of pictures (N, 3, H, W) in [0, 1]; raises DataError when the shapes differ."""
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
    """PSNR and LPIPS between pictures (N, 3, H, W) in [0, 1] and what `reconstruct` returns for each of them."""
    return compare_images(images, torch.cat([reconstruct(image[None]) for image in images]), lpips, seed)
