"""Compresses one weight by its recipe, and computes the error of the result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.coreml.compress.constexpr import Constexpr, constexpr
from export.coreml.compress.layers import WeightLayer
from export.coreml.compress.linear import quantize
from export.coreml.compress.palettes import palettize
from export.coreml.compress.recipes import LINEAR, NONE, Recipe
from mobile_diffusion.decibels import ratio_db
from mobile_diffusion.errors import ExportError

PART = 2**20
"""Number of squares that are added at once."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A compressed weight, ready to be written."""

    layer: WeightLayer
    recipe: Recipe
    made: Constexpr
    snr_db: float
    """SNR of the reconstruction in dB, as the clustering or quantization computed it."""


def encode(weight: NDArray[np.float16], layer: WeightLayer, recipe: Recipe, opset: int) -> Encoded:
    """Return the weight compressed by the recipe.

    Raises:
        ExportError: the weight has NaN or infinities, or the recipe does not compress.
    """
    if recipe.kind == NONE:
        raise ExportError(f"{layer.name}: expected a recipe that stores fewer bits, got {recipe.name}")
    signal = energy(weight, layer.name)
    stored = quantize(weight, layer, recipe) if recipe.kind == LINEAR else palettize(weight, layer, recipe)
    return Encoded(layer, recipe, constexpr(stored, layer, recipe.bits, opset), ratio_db(signal, stored.noise))


def energy(weight: NDArray[np.float16], name: str) -> float:
    """Return the sum of squares of a weight; raises `ExportError` unless all numbers are finite."""
    flat = weight.reshape(-1)
    total = sum(squares(flat[start : start + PART].astype(np.float32)) for start in range(0, flat.size, PART))
    if not np.isfinite(total):
        count = int(np.count_nonzero(~np.isfinite(weight)))
        raise ExportError(f"{name}: expected finite weights, got {count} NaN or infinities; fix the checkpoint")
    return total


def squares(numbers: NDArray[np.float32]) -> float:
    """Return the sum of squares, added up in float64."""
    return float(np.einsum("i,i->", numbers, numbers, dtype=np.float64))
