"""Weight palettization: indices into one table, a table per group of output channels, or tables of vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.compression import kmeans, vectors
from export.compression.recipes import Recipe
from export.compression.weight import Weight

Halves = NDArray[np.float16]
Codes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Palette:
    """A palettized weight: indices and tables."""

    codes: Codes
    """The indices, in the weight's shape; the output axis is shorter if an index stands for several channels."""
    table: Halves
    """The tables (g0, g1, ..., entries, vector), with the number of groups g along each axis."""
    noise: float
    """The sum of squared errors, as the clustering computed it."""


def palettize(weight: Halves, layer: Weight, recipe: Recipe) -> Palette:
    """Return the tables with the least squared error, and the index of each number's nearest entry."""
    ones = [1] * weight.ndim
    if recipe.vector > 1:
        found = vectors.palettize_vectors(weight, layer.output_axis, recipe.bits, recipe.vector)
        return Palette(found.codes, found.table.reshape(*ones, *found.table.shape), found.noise)
    if not recipe.group:
        codes, table, noise = palettize_numbers(weight, recipe.bits)
        return Palette(codes, table.reshape(*ones, -1, 1), noise)
    moved = np.moveaxis(weight, layer.output_axis, 0)
    groups = moved.reshape(-1, recipe.group, *moved.shape[1:])  # (groups, channels, ...)
    parts = [palettize_numbers(group, recipe.bits) for group in groups]
    codes = np.stack([codes for codes, _, _ in parts]).reshape(moved.shape)
    ones[layer.output_axis] = len(parts)
    table = np.stack([table for _, table, _ in parts]).reshape(*ones, -1, 1)
    noise = sum(noise for _, _, noise in parts)
    return Palette(np.ascontiguousarray(np.moveaxis(codes, 0, layer.output_axis)), table, noise)


def palettize_numbers(weight: Halves, bits: int) -> tuple[Codes, Halves, float]:
    """Return the indices in the weight's shape, their table (2^bits,), and the sum of squared errors."""
    counted = kmeans.histogram(weight)
    table = kmeans.cluster(counted, 2**bits)
    codes = kmeans.nearest(kmeans.patterns(), table).astype(np.uint8)  # of each bit pattern
    return codes[np.ascontiguousarray(weight).view(np.uint16)], table.astype(np.float16), counted.error(table)
