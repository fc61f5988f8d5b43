"""Diversity: the distance between pictures of one prompt that were drawn with different seeds.

A distance is 1 - cosine between features.  A collapsed model draws the same picture for every seed, distance 0.  The
distance between pictures of different prompts serves as the upper reference.
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
    """Pictures per prompt."""
    within: Interval
    """Mean distance between two pictures of the same prompt, averaged over prompts."""
    across: float
    """Mean distance between pictures of different prompts with the same round of seeds."""


def mean_distance(features: Tensor) -> Tensor:
    """Mean of 1 - cosine over all pairs of the S features (..., S, D), S > 1: float64 (...)."""
    unit = F.normalize(features.double(), dim=-1)
    count = features.shape[-2]
    total = unit.sum(dim=-2).square().sum(dim=-1)  # sum of the cosines of all pairs (i, j); S pairs have i = j
    return 1 - (total - count) / (count * (count - 1))


def diversity(features: Tensor, seed: int = 0) -> Diversity:
    """Diversity from features (prompts, seeds, D); raises DataError for fewer than two prompts or two seeds."""
    if features.ndim != 3 or features.shape[0] < 2 or features.shape[1] < 2:
        raise DataError(f"diversity: expected two or more prompts and seeds, got {tuple(features.shape)}")
    prompts, seeds, _ = features.shape
    within = mean_interval(mean_distance(features).numpy(), seed)
    across = mean_distance(features.transpose(0, 1)).mean()
    return Diversity(prompts, seeds, within, float(across))
