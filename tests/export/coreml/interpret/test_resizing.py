"""Pictures of other sizes against torch, numpy, and the formulas of MIL's documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mobile_diffusion.errors import ExportError

Run = Callable[..., tuple[np.ndarray, ...]]
Normal = Callable[..., np.ndarray]
T = torch.from_numpy
CUBE = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
GRIDS: list[tuple[str, int, list[float]]] = [
    ("UNALIGN_CORNERS", 5, [0.0, 0.1, 0.5, 0.9, 1.0]),
    ("STRICT_ALIGN_CORNERS", 5, [0.0, 0.25, 0.5, 0.75, 1.0]),
    ("ALIGN_CORNERS", 5, [0.0, 0.25, 0.5, 0.75, 1.0]),
    ("ALIGN_CORNERS", 1, [0.5]),
    ("STRICT_ALIGN_CORNERS", 1, [0.0]),
    ("DEFAULT", 5, [0.0, 0.4, 0.8, 1.0, 1.0]),
    ("OFFSET_CORNERS", 5, [0.1, 0.3, 0.5, 0.7, 0.9]),
]
"""Where an axis of two numbers is sampled: from the examples and formulas in MIL's documentation."""


@pytest.mark.parametrize(("mode", "size", "places"), GRIDS)
def test_sampling(mode: str, size: int, places: list[float], interpret: Run) -> None:
    x = np.array([[[[3.0, 5.0]]]], np.float32)
    options = {"target_size_height": 1, "target_size_width": size, "sampling_mode": mode}
    got = interpret("resize_bilinear", "iOS16", x=x, **options)[0]
    np.testing.assert_allclose(got[0, 0, 0], 3 + 2 * np.array(places), atol=1e-6)
    shape = np.array([1, size], np.int32)
    whole = interpret("resize", x=x, shape=shape, resized_dims=np.uint32(2), sampling_mode=mode)[0]
    np.testing.assert_array_equal(whole, got)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("factors", [(1, 2), (3, 2), (1.5, 2.5)])
def test_bilinear_upsampling(align_corners: bool, factors: tuple[float, float], interpret: Run, normal: Normal) -> None:
    x = normal(2, 3, 4, 6)
    named = {"scale_factor_height": factors[0], "scale_factor_width": factors[1], "align_corners": align_corners}
    size = [int(4 * factors[0]), int(6 * factors[1])]
    expected = F.interpolate(T(x), size=size, mode="bilinear", align_corners=align_corners)
    np.testing.assert_allclose(interpret("upsample_bilinear", x=x, **named)[0], expected, atol=1e-5)


def test_upsampling_repeats_pixels(interpret: Run) -> None:
    got = interpret("upsample_nearest_neighbor", x=CUBE, scale_factor_height=2.0, scale_factor_width=3.0)[0]
    np.testing.assert_array_equal(got, CUBE.repeat(2, axis=2).repeat(3, axis=3))


@pytest.mark.parametrize("size", [(6, 8), (2, 3), (5, 7)])
def test_nearest_pixels(size: tuple[int, int], interpret: Run) -> None:
    expected = F.interpolate(T(CUBE), size=size, mode="nearest")
    sizes = {"target_size_height": size[0], "target_size_width": size[1]}
    np.testing.assert_array_equal(interpret("resize_nearest_neighbor", "iOS16", x=CUBE, **sizes)[0], expected)
    options: dict[str, Any] = {"resized_dims": np.uint32(2), "interpolation_mode": "NEAREST_NEIGHBOR"}
    got = interpret("resize", x=CUBE, shape=np.array(size, np.int32), **options)[0]
    np.testing.assert_array_equal(got, expected)


def test_a_size_of_zero_is_kept(interpret: Run) -> None:
    got = interpret("resize", x=CUBE, shape=np.array([0, 8], np.int32), resized_dims=np.uint32(2))[0]
    assert got.shape == (1, 2, 3, 8)


def test_a_fractional_scale_is_refused(interpret: Run) -> None:
    with pytest.raises(ExportError, match=r"upsample_nearest_neighbor: expected whole scale factors, got 1.5"):
        interpret("upsample_nearest_neighbor", x=CUBE, scale_factor_height=2.0, scale_factor_width=1.5)


def test_a_sampling_of_nearest_pixels_that_is_not_documented_is_refused(interpret: Run) -> None:
    options: dict[str, Any] = {"resized_dims": np.uint32(2), "interpolation_mode": "NEAREST_NEIGHBOR"}
    shape = np.array([6, 8], np.int32)
    with pytest.raises(ExportError, match=r"resize: expected sampling_mode to be 'DEFAULT' .* got 'ALIGN_CORNERS'"):
        interpret("resize", x=CUBE, shape=shape, sampling_mode="ALIGN_CORNERS", **options)


def test_pixels_and_channels(interpret: Run, normal: Normal) -> None:
    x = normal(2, 8, 3, 2)
    fine = interpret("pixel_shuffle", x=x, upscale_factor=2)[0]
    np.testing.assert_array_equal(fine, x.reshape(2, 2, 2, 2, 3, 2).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 6, 4))
    np.testing.assert_array_equal(interpret("pixel_unshuffle", x=fine, downscale_factor=np.uint32(2))[0], x)


def test_space_and_depth(interpret: Run, normal: Normal) -> None:
    """As TensorFlow's documentation orders them: places before channels."""
    x = normal(1, 8, 3, 2)
    fine = interpret("depth_to_space", x=x, block_size=2)[0]
    assert fine[0, 1, 2, 3] == x[0, 1 * 2 + 1, 1, 1]  # row 2 = 1 * 2 + 0, column 3 = 1 * 2 + 1: place (0, 1)
    np.testing.assert_array_equal(interpret("space_to_depth", x=fine, block_size=2)[0], x)


def test_crop(interpret: Run) -> None:
    got = interpret("crop", x=CUBE, crop_height=[1, 0], crop_width=[0, 2])[0]
    np.testing.assert_array_equal(got, CUBE[:, :, 1:, :2])
