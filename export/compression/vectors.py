"""k-means of short vectors, for adjacent output channels that share one index."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAMPLE = 2**16
"""Vectors on which the first centres are computed; the last rounds use all vectors."""
STARTS, SAMPLE_ROUNDS, ROUNDS = 2, 60, 4
PART = 2**16
"""Vectors whose distances to all centres are computed at once."""


@dataclass(frozen=True, eq=False)
class VectorPalette:
    """A weight as indices into a table of vectors."""

    codes: NDArray[np.uint8]
    """The indices, in the weight's shape but shorter along the axis."""
    table: NDArray[np.float16]
    """The table (entries, vector)."""
    noise: float
    """The sum of squared errors."""


def palettize_vectors(weight: NDArray[np.float16], axis: int, bits: int, length: int) -> VectorPalette:
    """Return a weight as indices of 2^bits centres; each index stands for `length` numbers along an axis.

    The centres come from k-means++ with a fixed seed, followed by Lloyd's algorithm.
    """
    moved = np.moveaxis(weight, axis, -1)
    points = torch.from_numpy(np.ascontiguousarray(moved).reshape(-1, length).astype(np.float32))  # (n, length)
    generator = torch.Generator().manual_seed(0)
    sample = points
    if len(points) > SAMPLE:
        sample = points[torch.randperm(len(points), generator=generator)[:SAMPLE]]
    centres = moved_centres(points, best_start(sample, 2**bits, generator), ROUNDS).half()
    codes, noise = nearest(points, centres.float())
    shape = (*moved.shape[:-1], moved.shape[-1] // length)
    numbers = codes.to(torch.uint8).numpy().reshape(shape)
    return VectorPalette(np.ascontiguousarray(np.moveaxis(numbers, -1, axis)), centres.numpy(), noise)


def best_start(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return the best centres of several starts, each after Lloyd's algorithm."""
    starts = [moved_centres(points, spread_centres(points, count, generator), SAMPLE_ROUNDS) for _ in range(STARTS)]
    return min(starts, key=lambda centres: nearest(points, centres)[1])


def spread_centres(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return centres by greedy k-means++ (Arthur and Vassilvitskii 2007): each centre is the best of several draws."""
    chosen = points[torch.randint(len(points), (1,), generator=generator)]
    distance = (points - chosen).square().sum(1)
    trials = 2 + int(math.log(count))
    for _ in range(count - 1):
        total = distance.double().cumsum(0)
        drawn = torch.searchsorted(total, torch.rand(trials, generator=generator, dtype=torch.float64) * total[-1])
        candidates = points[drawn.clamp(max=len(points) - 1)]  # (trials, d)
        left = torch.minimum(distance, (points - candidates[:, None]).square().sum(2))  # (trials, n)
        best = int(left.sum(1).argmin())
        chosen, distance = torch.cat([chosen, candidates[best : best + 1]]), left[best]
    return chosen


def moved_centres(points: Tensor, centres: Tensor, rounds: int) -> Tensor:
    """Return the centres after Lloyd's algorithm: each moves to the mean of its points; one without points stays."""
    for _ in range(rounds):
        codes, _ = nearest(points, centres)
        count = torch.bincount(codes, minlength=len(centres)).unsqueeze(1)
        total = torch.zeros_like(centres, dtype=torch.float64).index_add_(0, codes, points.double())
        moved = torch.where(count > 0, total / count.clamp(min=1), centres.double()).float()
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def nearest(points: Tensor, centres: Tensor) -> tuple[Tensor, float]:
    """Return the index (n,) of the nearest centre (k, d) of each point (n, d), and the sum of squared distances."""
    half_norm = centres.square().sum(1) / 2  # |p - c|^2 = |p|^2 - 2 (p c - |c|^2 / 2)
    codes = torch.cat([(part @ centres.T - half_norm).argmax(1) for part in points.split(PART)])
    noise = sum(
        float((part - centres[code]).double().square().sum())
        for part, code in zip(points.split(PART), codes.split(PART), strict=True)
    )
    return codes, noise
