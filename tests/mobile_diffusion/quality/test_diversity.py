"""Diversity against plain loops and SciPy's cosine distance."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine

from mobile_diffusion.errors import DataError
from mobile_diffusion.quality.diversity import diversity


def test_against_loops() -> None:
    features = torch.randn(5, 4, 7, generator=torch.Generator().manual_seed(0)) + 1
    arrays = features.double().numpy()
    own = [np.mean([cosine(a, b) for a, b in combinations(pictures, 2)]) for pictures in arrays]
    other = [np.mean([cosine(a, b) for a, b in combinations(arrays[:, seed], 2)]) for seed in range(4)]
    found = diversity(features)
    assert (found.prompts, found.seeds) == (5, 4)
    assert found.within.value == pytest.approx(np.mean(own), rel=1e-12)
    assert found.across == pytest.approx(np.mean(other), rel=1e-12)
    assert found.within.low <= found.within.value <= found.within.high


def test_collapsed_model() -> None:
    features = torch.randn(3, 1, 8).expand(3, 4, 8)
    assert diversity(features).within.value == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("shape", [(1, 4, 3), (4, 1, 3), (4, 3)])
def test_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="two or more prompts and seeds"):
        diversity(torch.ones(shape))


def test_no_figure_from_nan() -> None:
    with pytest.raises(DataError, match="finite"):
        diversity(torch.full((2, 2, 3), torch.nan))
