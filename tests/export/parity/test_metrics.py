"""Metrics against scikit-image, against closed forms, and on arrays that try to slip through."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from export.parity.metrics import compare, compare_pictures, cosine, max_abs, ssim
from mobile_diffusion.decibels import psnr_db, snr_db
from mobile_diffusion.errors import ParityError


def picture(seed: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, side, side)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.001, 0.05, 0.5])
def test_pictures_as_scikit_image(noise: float) -> None:
    left = picture(0)
    right = np.clip(left + noise * picture(1), 0, 1)
    ours = compare_pictures(left, right)
    expected = structural_similarity(
        left[0].astype(np.float64), right[0].astype(np.float64), data_range=1.0, channel_axis=0
    )
    assert ours.ssim == pytest.approx(expected, abs=1e-9)
    assert ours.psnr_db == pytest.approx(
        peak_signal_noise_ratio(left.astype(np.float64), right.astype(np.float64), data_range=1.0)
    )


def test_snr_is_normalised_by_the_reference() -> None:
    reference = np.ones(100)
    assert snr_db(reference, reference * 1.01) == pytest.approx(40.0)
    assert snr_db(reference, np.zeros(100)) == pytest.approx(0.0)
    assert snr_db(reference, reference * 1001) == pytest.approx(-60.0)
    assert snr_db(reference * 1e-20, reference * 1.01e-20) == pytest.approx(40.0)


def test_accumulates_in_float64() -> None:
    reference = np.full(1_000_000, 1000.0, np.float32)
    assert snr_db(reference, reference + np.float32(0.125)) == pytest.approx(20 * math.log10(8000.0), abs=1e-9)


def test_equal_arrays() -> None:
    values = picture(3)
    assert compare(values, values).snr_db == math.inf
    assert compare(values, values).max_abs == 0.0
    assert cosine(values, values) == pytest.approx(1.0)
    assert compare_pictures(values, values).ssim == pytest.approx(1.0)


def test_zero_reference() -> None:
    zeros = np.zeros(8)
    assert snr_db(zeros, zeros) == math.inf
    assert snr_db(zeros, zeros + 1e-9) == -math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_not_finite_is_said_and_never_high(bad: float) -> None:
    reference = picture(4)
    candidate = reference.copy()
    candidate[0, 0, 3, 3] = bad
    metrics = compare(reference, candidate)
    assert not metrics.finite
    assert not metrics.snr_db > 0
    assert not max_abs(reference, candidate) < 1
    assert not psnr_db(reference, candidate) > 0
    assert not ssim(reference, candidate) > 0.9
    assert not compare_pictures(reference, candidate).finite


def test_shapes_must_be_equal() -> None:
    with pytest.raises(ParityError, match=r"\(2, 1\).*\(1, 2\)"):
        compare(np.zeros((2, 1)), np.zeros((1, 2)))
    with pytest.raises(ParityError, match="empty"):
        compare(np.zeros((0, 3)), np.zeros((0, 3)))


def test_small_pictures_are_one_window() -> None:
    assert ssim(picture(5, 4), picture(5, 4)) == pytest.approx(1.0)
