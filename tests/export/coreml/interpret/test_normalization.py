"""Normalisations against formulas, torch, and what coremltools computes for constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from export.coreml.interpret.normalization import layer_norm

Run = Callable[..., tuple[np.ndarray, ...]]
Normal = Callable[..., np.ndarray]
T = torch.from_numpy


@pytest.mark.parametrize("axes", [[-1], [1, 2]])
def test_layer_norm(axes: list[int], interpret: Run, normal: Normal) -> None:
    x = normal(2, 3, 4).astype(np.float64)
    gamma, beta = normal(*(x.shape[axis] for axis in axes)), normal(*(x.shape[axis] for axis in axes))
    mean, variance = x.mean(tuple(axes), keepdims=True), x.var(tuple(axes), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 0.01) * gamma + beta
    operands = {"x": x.astype(np.float32), "axes": axes, "gamma": gamma, "beta": beta, "epsilon": 0.01}
    np.testing.assert_allclose(interpret("layer_norm", **operands)[0], expected, atol=1e-6)


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


@pytest.mark.parametrize("axes", [[1], [0, 2], [-2]])
def test_layer_norm_of_any_axes(axes: list[int], interpret: Run, infer: Run, normal: Normal) -> None:
    x, shape = normal(2, 3, 4), [(2, 3, 4)[axis] for axis in axes]
    operands = {"x": x, "axes": axes, "gamma": normal(*shape), "beta": normal(*shape), "epsilon": 0.01}
    np.testing.assert_allclose(interpret("layer_norm", **operands)[0], infer("layer_norm", **operands)[0], atol=1e-5)


def test_layer_norm_of_everything(normal: Normal) -> None:
    """MIL's default of `axes`, which coremltools' own inference does not take."""
    x = T(normal(2, 3, 4))
    torch.testing.assert_close(layer_norm(x), F.layer_norm(x, x.shape))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 2, 3, 4)])
def test_l2_norm(shape: tuple[int, ...], interpret: Run, infer: Run, normal: Normal) -> None:
    x = normal(*shape)
    np.testing.assert_allclose(interpret("l2_norm", x=x)[0], infer("l2_norm", x=x)[0], rtol=1e-5)


def test_local_response_norm(interpret: Run, normal: Normal) -> None:
    x = normal(2, 7, 3, 4)
    got = interpret("local_response_norm", x=x, size=3, alpha=0.5)[0]
    squares = np.pad(np.square(x), [(0, 0), (1, 1), (0, 0), (0, 0)])
    around = sum(squares[:, shift : shift + 7] for shift in range(3))
    np.testing.assert_allclose(got, x / (1 + 0.5 / 3 * around) ** 0.75, rtol=1e-5)


@pytest.mark.parametrize("axis", [0, -1])
def test_softmax(axis: int, interpret: Run, infer: Run, normal: Normal) -> None:
    x = normal(3, 5)
    np.testing.assert_allclose(interpret("softmax", x=x, axis=axis)[0], infer("softmax", x=x, axis=axis)[0], rtol=1e-5)
