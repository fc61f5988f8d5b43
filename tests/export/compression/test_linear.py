"""Integers and scales, against the formula and coremltools' own."""

from __future__ import annotations

import numpy as np
import pytest

from export.compression.linear import quantize
from export.compression.recipes import RECIPES
from export.compression.weight import Weight

GENERATOR = np.random.default_rng(2)


def layer(shape: tuple[int, ...], axes: tuple[int, int] = (0, 1)) -> Weight:
    return Weight("weight", shape, *axes)


@pytest.mark.parametrize("recipe", ["int8", "int8-block", "int4-block"])
@pytest.mark.parametrize(
    ("shape", "axes"), [((12, 64), (0, 1)), ((64, 12), (1, 0)), ((8, 32, 3, 3), (0, 1)), ((32, 8, 3, 3), (1, 0))]
)
def test_every_number_is_the_nearest_of_its_scale(recipe: str, shape: tuple[int, ...], axes: tuple[int, int]) -> None:
    weight = GENERATOR.normal(0, 0.1, shape).astype(np.float16)
    found = quantize(weight, layer(shape, axes), RECIPES[recipe])
    blocks = shape[axes[1]] // 32 if "block" in recipe else 1
    assert found.scale.shape == tuple(
        {axes[0]: shape[axes[0]], axes[1]: blocks}.get(axis, 1) for axis in range(len(shape))
    )
    scale = found.scale.astype(np.float64)
    for axis, (size, groups) in enumerate(zip(shape, found.scale.shape, strict=True)):
        scale = scale.repeat(size // groups, axis)
    largest = 2 ** (RECIPES[recipe].bits - 1) - 1
    assert np.abs(found.codes).max() == largest
    error = np.abs(found.codes * scale - weight.astype(np.float64))
    slack = scale * largest * 2**-11  # the scale is rounded to float16
    assert bool((error <= scale * 0.5 + slack).all())


def test_the_error_is_not_above_that_of_coremltools() -> None:
    from coremltools.optimize.coreml._quantization_passes import linear_quantize_weights as theirs

    weight = GENERATOR.normal(0, 0.1, (48, 96)).astype(np.float16)
    made = theirs.blockwise_compress(weight, 8, "LINEAR_SYMMETRIC", True, [1, 0])
    error = np.square(theirs.decompress(made).astype(np.float64) - weight).sum()
    assert quantize(weight, layer((48, 96)), RECIPES["int8"]).noise <= error * 1.001


def test_channels_of_zeros_and_of_tiny_numbers() -> None:
    weight = GENERATOR.normal(0, 0.1, (3, 64)).astype(np.float16)
    weight[0], weight[1] = 0.0, 2.0**-24
    found = quantize(weight, layer((3, 64)), RECIPES["int8"])
    decoded = found.codes * found.scale.astype(np.float64)
    assert np.isfinite(decoded).all() and bool((found.scale > 0).all())
    assert np.array_equal(decoded[:2], weight[:2].astype(np.float64))
