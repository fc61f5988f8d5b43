"""Activations against what coremltools computes for constants, or their formulas."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from mobile_diffusion.errors import ExportError

Run = Callable[..., tuple[np.ndarray, ...]]
VALUES = np.array([-3.0, -1.5, -0.5, -0.0, 0.25, 1.0, 2.5, 6.5], np.float32)
FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
}
PAIR = {"alpha": 0.25, "beta": 0.5}
CHANNELS = np.array([0.5, 2.0], np.float32)
INFERRED: list[tuple[str, dict[str, Any]]] = [
    ("clamped_relu", {"x": VALUES, "alpha": 0.25, "beta": 2.0}),
    ("elu", {"x": VALUES, "alpha": 0.5}),
    ("leaky_relu", {"x": VALUES, "alpha": 0.25}),
    ("linear_activation", {"x": VALUES, **PAIR}),
    ("prelu", {"x": VALUES.reshape(1, 2, 2, 2), "alpha": CHANNELS}),
    ("scaled_tanh", {"x": VALUES, **PAIR}),
    ("sigmoid_hard", {"x": VALUES, **PAIR}),
    ("softplus_parametric", {"x": VALUES.reshape(1, 2, 2, 2), "alpha": CHANNELS, "beta": CHANNELS[::-1].copy()}),
    ("thresholded_relu", {"x": VALUES, "alpha": 0.5}),
]


@pytest.mark.parametrize("operation", FORMULAS)
def test_activation(operation: str, interpret: Run) -> None:
    expected = FORMULAS[operation](VALUES.astype(np.float64))
    np.testing.assert_allclose(interpret(operation, x=VALUES)[0], expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(("operation", "operands"), INFERRED, ids=lambda value: str(value)[:24])
def test_activation_with_parameters(operation: str, operands: dict[str, Any], interpret: Run, infer: Run) -> None:
    kept = {name: np.copy(value) for name, value in operands.items()}  # coremltools writes into what it is given
    expected = infer(operation, **operands)[0]
    np.testing.assert_allclose(interpret(operation, **kept)[0], expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("mode", ["EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"])
def test_gelu_modes(mode: str, interpret: Run, infer: Run) -> None:
    x = np.linspace(-4, 4, 33, dtype=np.float32)
    got = interpret("gelu", x=x, mode=mode)[0]
    np.testing.assert_allclose(got, infer("gelu", x=x, mode=mode)[0], atol=2e-6)


def test_gelu_modes_differ(interpret: Run) -> None:
    modes = ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION")
    results = [interpret("gelu", x=VALUES, mode=mode)[0] for mode in modes]
    assert all(np.abs(a - b).max() > 1e-4 for a, b in pairwise(results))


def test_gelu_is_exact_unless_it_says_otherwise(interpret: Run) -> None:
    np.testing.assert_array_equal(interpret("gelu", x=VALUES), interpret("gelu", x=VALUES, mode="EXACT"))


def test_clamping_needs_both_bounds(interpret: Run) -> None:
    with pytest.raises((ExportError, ValueError), match="beta"):
        interpret("clamped_relu", x=VALUES, alpha=0.25)
