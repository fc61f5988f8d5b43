"""Diversity: how far apart the pictures are that different seeds draw for one prompt.

A distance is 1 - cosine between features.  A model that has collapsed draws one picture for every seed, distance 0;
the distance between pictures of different prompts says what much would be.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.errors import DataError
from mobile_diffusion.quality.bootstrap import Interval, mean_interval


@dataclass(frozen=True)
class Diversity:
    """Distances between drawn pictures."""

    prompts: int
    seeds: int
    """Pictures of each prompt."""
    within: Interval
    """Mean distance between two pictures of one prompt, over prompts."""
    across: float
    """Mean distance between pictures of two prompts."""


def mean_distance(features: Tensor) -> Tensor:
    """Mean of 1 - cosine over all pairs of features (..., S, D), S above 1, as float64 (...)."""
    unit = F.normalize(features.double(), dim=-1)
    count = features.shape[-2]
    total = unit.sum(dim=-2).square().sum(dim=-1)  # over all pairs (i, j) of cosines, S of which are i = j
    return 1 - (total - count) / (count * (count - 1))


def diversity(features: Tensor, seed: int = 0) -> Diversity:
    """Diversity from features (prompts, seeds, D); raises DataError for fewer than two prompts or seeds."""
    if features.ndim != 3 or features.shape[0] < 2 or features.shape[1] < 2:
        raise DataError(f"diversity: expected two prompts and seeds or more, got {tuple(features.shape)}")
    prompts, seeds, _ = features.shape
    within = mean_interval(mean_distance(features).numpy(), seed)
    across = mean_distance(features.transpose(0, 1)).mean()
    return Diversity(prompts, seeds, within, float(across))
