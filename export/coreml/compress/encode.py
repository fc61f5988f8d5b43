"""Compresses one weight by its recipe into the operation of MIL that decodes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.compression.recipes import Recipe
from export.compression.store import store
from export.coreml.compress.constexpr import Constexpr, constexpr
from export.coreml.compress.layers import WeightLayer


@dataclass(frozen=True, eq=False)
class Encoded:
    """A compressed weight, ready to be written."""

    layer: WeightLayer
    recipe: Recipe
    made: Constexpr
    snr_db: float
    """SNR of the reconstruction in dB, as the clustering or quantization computed it."""


def encode(weight: NDArray[np.float16], layer: WeightLayer, recipe: Recipe, opset: int) -> Encoded:
    """Return the weight compressed by the recipe; raises `ExportError` as `store` does."""
    stored, snr_db = store(weight, layer, recipe)
    return Encoded(layer, recipe, constexpr(stored, layer, recipe.bits, opset), snr_db)
