"""Convolutions and poolings against their definitions in float64 and torch."""

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


def correlate(x: np.ndarray, weight: np.ndarray, strides: tuple[int, int]) -> np.ndarray:
    """Two-dimensional convolution as the four sums of its definition, in float64."""
    kernel_height, kernel_width = weight.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (kernel_height, kernel_width), (2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1]]
    summed: np.ndarray = np.einsum("bchwij,ocij->bohw", windows, weight.astype(np.float64))
    return summed


@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
@pytest.mark.parametrize("pad", [None, [1, 1, 1, 1], [0, 1, 2, 3]])
def test_convolution(strides: tuple[int, int], pad: list[int] | None, interpret: Run, normal: Normal) -> None:
    x, weight, bias = normal(2, 3, 6, 7), normal(4, 3, 3, 2), normal(4)
    padding = {"pad_type": "custom", "pad": pad} if pad else {"pad_type": "valid"}
    got = interpret("conv", x=x, weight=weight, bias=bias, strides=list(strides), **padding)[0]
    pad = pad or [0] * 4
    filled = np.pad(x, [(0, 0), (0, 0), (pad[0], pad[1]), (pad[2], pad[3])])
    expected = correlate(filled, weight, strides) + bias[:, None, None]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_grouped_and_dilated_convolution(interpret: Run, normal: Normal) -> None:
    x, weight = normal(1, 4, 8), normal(6, 2, 3)
    got = interpret("conv", x=x, weight=weight, dilations=[2], groups=2, pad_type="valid")[0]
    np.testing.assert_allclose(got, F.conv1d(T(x), T(weight), dilation=2, groups=2), atol=1e-6)


@pytest.mark.parametrize(("pad_type", "before"), [("same", (0, 1)), ("same_lower", (1, 1))])
def test_padding_that_keeps_the_size(pad_type: str, before: tuple[int, int], interpret: Run, normal: Normal) -> None:
    """A kernel of 2 by 3 on 5 by 7 with stride 2 by 1: 1 row (odd) and 2 columns in all."""
    x, weight = normal(1, 2, 5, 7), normal(3, 2, 2, 3)
    got = interpret("conv", x=x, weight=weight, strides=[2, 1], pad_type=pad_type)[0]
    assert got.shape == (1, 3, 3, 7)
    filled = np.pad(x, [(0, 0), (0, 0), (before[0], 1 - before[0]), (1, 1)])
    np.testing.assert_allclose(got, correlate(filled, weight, (2, 1)), atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"strides": [2, 3]}, {"dilations": [2, 1], "strides": [1, 2]}, {"groups": 2}])
def test_transposed_convolution(options: dict[str, Any], interpret: Run, normal: Normal) -> None:
    x, weight, bias = normal(2, 4, 3, 5), normal(4, 3, 3, 2), normal(3 * options.get("groups", 1))
    got = interpret("conv_transpose", x=x, weight=weight, bias=bias, **options)[0]
    named = {"strides": "stride", "dilations": "dilation", "groups": "groups"}
    expected = F.conv_transpose2d(T(x), T(weight), T(bias), **{named[key]: value for key, value in options.items()})
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("output_padding", [0, 1])
def test_transposed_convolution_is_cut(output_padding: int, interpret: Run, normal: Normal) -> None:
    x, weight, bias = normal(1, 2, 4, 4), normal(2, 3, 3, 3), normal(3)
    expected = F.conv_transpose2d(T(x), T(weight), T(bias), stride=2, padding=1, output_padding=output_padding)
    size = {"output_shape": list(expected.shape)} if output_padding else {}
    pads = {"pad_type": "custom", "pad": [1, 1, 1, 1]}
    got = interpret("conv_transpose", x=x, weight=weight, bias=bias, strides=[2, 2], **pads, **size)[0]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_an_output_beyond_the_reach_of_the_kernel_is_the_bias(interpret: Run, normal: Normal) -> None:
    x, weight, bias = normal(1, 1, 2), normal(1, 1, 2), normal(1)
    got = interpret("conv_transpose", x=x, weight=weight, bias=bias, strides=[2], output_shape=[1, 1, 6])[0]
    np.testing.assert_allclose(got[0, 0, :4], F.conv_transpose1d(T(x), T(weight), T(bias), stride=2)[0, 0], atol=1e-6)
    np.testing.assert_array_equal(got[0, 0, 4:], [bias[0], bias[0]])


def test_transposed_convolution_of_the_same_size(interpret: Run, normal: Normal) -> None:
    x, weight = normal(1, 1, 3, 3), normal(1, 1, 3, 3)
    got = interpret("conv_transpose", x=x, weight=weight, strides=[2, 2], pad_type="same")[0]
    np.testing.assert_allclose(got, F.conv_transpose2d(T(x), T(weight), stride=2)[:, :, :6, :6], atol=1e-6)


WINDOWS: list[dict[str, Any]] = [
    {"pad_type": "valid"},
    {"pad_type": "custom", "pad": [1, 1, 1, 1], "strides": [2, 2]},
    {"pad_type": "custom", "pad": [1, 1, 1, 1], "strides": [2, 2], "ceil_mode": True},
]


@pytest.mark.parametrize("options", WINDOWS)
def test_largest_of_windows(options: dict[str, Any], interpret: Run, normal: Normal) -> None:
    x = normal(2, 3, 6, 7) - np.float32(5)
    got = interpret("max_pool", x=x, kernel_sizes=[3, 2], **options)[0]
    pad, stride = options.get("pad", [0])[0], options.get("strides", [1, 1])
    expected = F.max_pool2d(T(x), (3, 2), stride, pad, ceil_mode=options.get("ceil_mode", False))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("options", WINDOWS)
@pytest.mark.parametrize("exclude", [False, True])
def test_mean_of_windows(options: dict[str, Any], exclude: bool, interpret: Run, normal: Normal) -> None:
    x = normal(2, 3, 6, 7)
    got = interpret("avg_pool", x=x, kernel_sizes=[3, 2], exclude_padding_from_average=exclude, **options)[0]
    pad, stride = options.get("pad", [0])[0], options.get("strides", [1, 1])
    ceil = options.get("ceil_mode", False)
    expected = F.avg_pool2d(T(x), (3, 2), stride, pad, ceil_mode=ceil, count_include_pad=not exclude)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_uneven_padding_of_windows(interpret: Run, normal: Normal) -> None:
    x = normal(1, 1, 6)
    pads = {"pad_type": "custom", "pad": [0, 2]}
    expected = F.max_pool1d(F.pad(T(x), (0, 2), value=-torch.inf), 3, 1)
    np.testing.assert_array_equal(interpret("max_pool", x=x, kernel_sizes=[3], **pads)[0], expected)
    expected = F.avg_pool1d(F.pad(T(x), (0, 2)), 3, 1)
    np.testing.assert_allclose(interpret("avg_pool", x=x, kernel_sizes=[3], **pads)[0], expected, atol=1e-6)


def test_norm_of_windows(interpret: Run, normal: Normal) -> None:
    x = normal(2, 3, 6, 6)
    got = interpret("l2_pool", x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid")[0]
    np.testing.assert_allclose(got, F.lp_pool2d(T(x), 2.0, 2, 2), rtol=1e-5)


def test_windows_of_a_norm_beyond_the_padding_are_refused(interpret: Run, normal: Normal) -> None:
    with pytest.raises(ExportError, match=r"l2_pool: expected ceil_mode to be False, got True"):
        interpret("l2_pool", x=normal(1, 1, 5), kernel_sizes=[2], strides=[2], pad_type="valid", ceil_mode=True)
