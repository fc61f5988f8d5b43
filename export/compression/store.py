"""Stores one weight by its recipe, and computes the error of the result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.compression.linear import Linear, quantize
from export.compression.palettes import Palette, palettize
from export.compression.recipes import LINEAR, NONE, Recipe
from export.compression.weight import Weight
from mobile_diffusion.decibels import ratio_db
from mobile_diffusion.errors import ExportError

PART = 2**20
"""Number of squares that are added at once."""
Halves = NDArray[np.float16]


def store(weight: Halves, layer: Weight, recipe: Recipe) -> tuple[Palette | Linear, float]:
    """Return the weight stored by the recipe, and the SNR of its reconstruction in dB, as the clustering computed it.

    Raises:
        ExportError: the weight has NaN or infinities, or the recipe does not compress.
    """
    if recipe.kind == NONE:
        raise ExportError(f"{layer.name}: expected a recipe that stores fewer bits, got {recipe.name}")
    signal = energy(weight, layer.name)
    stored = quantize(weight, layer, recipe) if recipe.kind == LINEAR else palettize(weight, layer, recipe)
    return stored, ratio_db(signal, stored.noise)


def energy(weight: Halves, name: str) -> float:
    """Return the sum of squares of a weight; raises `ExportError` unless all numbers are finite."""
    flat = weight.reshape(-1)
    total = sum(squares(flat[start : start + PART].astype(np.float32)) for start in range(0, flat.size, PART))
    if not np.isfinite(total):
        count = int(np.count_nonzero(~np.isfinite(weight)))
        raise ExportError(f"{name}: expected finite weights, got {count} NaN or infinities; fix the checkpoint")
    return total


def reconstruction_snr(weight: Halves, decoded: Halves) -> float:
    """Return 10 log10(sum w^2 / sum (w - w')^2) in dB, added up in float64 one part at a time."""
    signal = noise = 0.0
    left, right = weight.reshape(-1), decoded.reshape(-1)
    for start in range(0, left.size, PART):
        numbers = left[start : start + PART].astype(np.float32)
        signal += squares(numbers)
        noise += squares(numbers - right[start : start + PART].astype(np.float32))
    return ratio_db(signal, noise)


def squares(numbers: NDArray[np.float32]) -> float:
    """Return the sum of squares, added up in float64."""
    return float(np.einsum("i,i->", numbers, numbers, dtype=np.float64))
