"""PSNR against scikit-image, LPIPS against one call for one pair; each picture by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor, nn

from mobile_diffusion.errors import DataError
from mobile_diffusion.quality.decoder_quality import compare_images, decoder_quality


class MeanDifference(nn.Module):
    """Stands for LPIPS, whose weights are fetched: one value for a pair in [-1, 1]."""

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        return (images - others).abs().mean(dim=(1, 2, 3))


def images(seed: int, count: int = 11) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_against_scikit_image() -> None:
    left, right = images(0), images(1)
    found = compare_images(left, right, MeanDifference())  # type: ignore[arg-type]
    ratios = [
        peak_signal_noise_ratio(a.double().numpy(), b.double().numpy(), data_range=1)
        for a, b in zip(left, right, strict=True)
    ]
    assert found.pictures == 11
    assert found.psnr_db.value == pytest.approx(np.mean(ratios), abs=1e-3)
    assert found.lpips.value == pytest.approx(2 * float((left - right).abs().mean()), rel=1e-5)


def test_pictures_go_through_one_by_one() -> None:
    seen: list[tuple[int, ...]] = []

    def reconstruct(image: Tensor) -> Tensor:
        seen.append(tuple(image.shape))
        return 1 - image

    found = decoder_quality(reconstruct, images(0), MeanDifference())  # type: ignore[arg-type]
    assert seen == [(1, 3, 8, 8)] * 11
    assert found == compare_images(images(0), 1 - images(0), MeanDifference())  # type: ignore[arg-type]


def test_refused() -> None:
    with pytest.raises(DataError, match="expected"):
        compare_images(images(0), images(1, 3), MeanDifference())  # type: ignore[arg-type]
    with pytest.raises(DataError, match="from 0 to 1"):
        compare_images(images(0), images(1) * torch.nan, MeanDifference())  # type: ignore[arg-type]
