"""Operations that sum, against formulas in float64 and torch's modules."""

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


@pytest.mark.parametrize("pad_type", ["same", "same_lower"])
def test_a_padding_that_is_not_interpreted_is_named(pad_type: str, interpret: Run, normal: Normal) -> None:
    with pytest.raises(ExportError, match=f"conv: expected pad_type to be one of .*, got '{pad_type}'"):
        interpret("conv", x=normal(1, 1, 4, 4), weight=normal(1, 1, 3, 3), pad_type=pad_type)


def test_linear(interpret: Run, normal: Normal) -> None:
    x, weight, bias = normal(2, 5, 3), normal(4, 3), normal(4)
    np.testing.assert_allclose(interpret("linear", x=x, weight=weight, bias=bias)[0], x @ weight.T + bias, atol=1e-6)
    np.testing.assert_allclose(interpret("linear", x=x, weight=weight)[0], x @ weight.T, atol=1e-6)


@pytest.mark.parametrize(("transpose_x", "transpose_y"), [(False, False), (True, False), (False, True)])
def test_matrix_product(transpose_x: bool, transpose_y: bool, interpret: Run, normal: Normal) -> None:
    left, right = normal(2, 3, 5, 4), normal(3, 4, 6)
    x = left.swapaxes(-1, -2).copy() if transpose_x else left
    y = right.swapaxes(-1, -2).copy() if transpose_y else right
    got = interpret("matmul", x=x, y=y, transpose_x=transpose_x, transpose_y=transpose_y)[0]
    np.testing.assert_allclose(got, left @ right, atol=1e-6)


def test_half_precision_sums_in_float32(interpret: Run) -> None:
    x = np.full((1, 4096), 1.0, np.float16)
    weight = np.full((1, 4096), 1.0009765625, np.float16)
    np.testing.assert_array_equal(interpret("linear", x=x, weight=weight)[0], [[4100.0]])


@pytest.mark.parametrize("axes", [[-1], [1, 2]])
def test_layer_norm(axes: list[int], interpret: Run, normal: Normal) -> None:
    x = normal(2, 3, 4).astype(np.float64)
    gamma, beta = normal(*(x.shape[axis] for axis in axes)), normal(*(x.shape[axis] for axis in axes))
    mean, variance = x.mean(tuple(axes), keepdims=True), x.var(tuple(axes), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 0.01) * gamma + beta
    operands = {"x": x.astype(np.float32), "axes": axes, "gamma": gamma, "beta": beta, "epsilon": 0.01}
    np.testing.assert_allclose(interpret("layer_norm", **operands)[0], expected, atol=1e-6)


def test_layer_norm_of_other_axes_is_refused(interpret: Run, normal: Normal) -> None:
    with pytest.raises(ExportError, match=r"layer_norm: expected axes to be \[2\], got \[1\]"):
        interpret("layer_norm", x=normal(2, 3, 4), axes=[1], epsilon=0.01)


def test_batch_and_instance_norm(interpret: Run, normal: Normal) -> None:
    x, gamma, beta, mean = normal(2, 3, 4, 5), normal(3), normal(3), normal(3)
    variance = np.abs(normal(3)) + np.float32(0.5)
    each = (slice(None), None, None)
    operands: dict[str, Any] = {"x": x, "gamma": gamma, "beta": beta, "epsilon": 0.01}
    expected = (x - mean[each]) / np.sqrt(variance[each] + 0.01) * gamma[each] + beta[each]
    np.testing.assert_allclose(
        interpret("batch_norm", mean=mean, variance=variance, **operands)[0], expected, atol=1e-5
    )
    own_mean, own_variance = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    expected = (x - own_mean) / np.sqrt(own_variance + 0.01) * gamma[each] + beta[each]
    np.testing.assert_allclose(interpret("instance_norm", **operands)[0], expected, atol=1e-5)


@pytest.mark.parametrize("align_corners", [True, False])
def test_bilinear_upsampling(align_corners: bool, interpret: Run, normal: Normal) -> None:
    x = normal(1, 1, 1, 4)
    operands = {"scale_factor_height": 1, "scale_factor_width": 2, "align_corners": align_corners}
    spacing = 3 / 7 if align_corners else 0.5
    offset = 0.0 if align_corners else -0.25
    points = np.clip(np.arange(8) * spacing + offset, 0, 3)  # the formula of MIL's documentation
    expected = np.interp(points, np.arange(4), x[0, 0, 0])
    np.testing.assert_allclose(interpret("upsample_bilinear", x=x, **operands)[0][0, 0, 0], expected, atol=1e-6)


REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "reduce_l1_norm": lambda x, **how: np.abs(x).sum(**how),
    "reduce_l2_norm": lambda x, **how: np.sqrt(np.square(x).sum(**how)),
    "reduce_log_sum_exp": lambda x, **how: np.log(np.exp(x).sum(**how)),
    "reduce_max": np.max,
    "reduce_mean": np.mean,
    "reduce_min": np.min,
    "reduce_sum": np.sum,
    "reduce_sum_square": lambda x, **how: np.square(x).sum(**how),
}


@pytest.mark.parametrize("operation", REDUCTIONS)
@pytest.mark.parametrize(("axes", "keep_dims"), [([1], True), ([0, -1], False), (None, False)])
def test_reduction(operation: str, axes: list[int] | None, keep_dims: bool, interpret: Run, normal: Normal) -> None:
    x = normal(2, 3, 4)
    chosen = {} if axes is None else {"axes": axes}
    got = interpret(operation, x=x, keep_dims=keep_dims, **chosen)[0]
    expected = REDUCTIONS[operation](x, axis=None if axes is None else tuple(axes), keepdims=keep_dims)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_integer_sums_are_exact(interpret: Run) -> None:
    got = interpret("reduce_sum", x=np.array([16777217, 1], np.int32), axes=[0], keep_dims=True)[0]
    np.testing.assert_array_equal(got, np.array([16777218], np.int32), strict=True)
