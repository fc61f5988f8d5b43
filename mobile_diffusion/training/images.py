"""Pictures of a data set as tensors: chosen by style, split and group, stacked, scaled, and compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mobile_diffusion.data import Sample, load_dataset, load_image
from mobile_diffusion.decibels import psnr_each
from mobile_diffusion.errors import DataError
from mobile_diffusion.quoting import quoted


def choose_samples(folder: Path, styles: tuple[str, ...], split: str) -> list[Sample]:
    """Samples of the given styles and split; raises `DataError` when a style has none."""
    samples = [sample for sample in load_dataset(folder) if sample.split == split]
    for style in styles:
        if not any(sample.style == style for sample in samples):
            raise DataError(f"{folder}: expected {split} pictures of style {quoted(style)}, got none; run `data fetch`")
    return [sample for sample in samples if sample.style in styles]


def choose_groups(samples: list[Sample], groups: tuple[str, ...]) -> list[Sample]:
    """Samples of the named groups, or all when no group is named; raises `DataError` when a group has no sample."""
    for group in groups:
        if not any(sample.group == group for sample in samples):
            known = ", ".join(sorted({sample.group for sample in samples}))
            raise DataError(f"groups: expected some of {known}, got {quoted(group)}; fix the settings")
    return [sample for sample in samples if not groups or sample.group in groups]


def stack_images(samples: list[Sample]) -> Tensor:
    """All pictures as uint8 (N, 3, H, W)."""
    return torch.from_numpy(np.stack([load_image(sample) for sample in samples])).permute(0, 3, 1, 2).contiguous()


def to_signed(images: Tensor) -> Tensor:
    """uint8 (..., 3, H, W) -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1.0


def to_pictures(images: Tensor) -> list[np.ndarray]:
    """(N, 3, H, W) in [-1, 1] -> N arrays uint8 (H, W, 3)."""
    scaled = ((images.clamp(-1, 1) * 0.5 + 0.5) * 255).round().to(torch.uint8)
    return list(scaled.permute(0, 2, 3, 1).numpy())


def psnr(images: Tensor, others: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of pictures (B, 3, H, W) in [-1, 1], one value per picture."""
    return psnr_each(images.clamp(-1, 1), others, span=2.0)
