"""KID against scikit-learn's kernel in plain loops, its bias, and its interval against repeated draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from mobile_diffusion.errors import DataError
from mobile_diffusion.quality import kid, kid_interval
from mobile_diffusion.quality.kid import polynomial_kernel as kernel

WIDTH = 6


def draw(count: int, shift: float, seed: int) -> torch.Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed)) + shift


def by_loops(real: np.ndarray, fake: np.ndarray) -> float:
    """Lemma 6 of Gretton et al. 2012, term by term."""
    settings = {"degree": 3, "gamma": 1 / real.shape[1], "coef0": 1}
    total = 0.0
    for side in (real, fake):
        values = polynomial_kernel(side, side, **settings)
        count = len(side)
        pairs = [values[i, j] for i in range(count) for j in range(count) if i != j]
        total += sum(pairs) / (count * (count - 1))
    return total - 2 * float(polynomial_kernel(real, fake, **settings).mean())


@pytest.mark.parametrize(("real_count", "fake_count"), [(9, 9), (5, 12), (2, 2)])
def test_against_loops(real_count: int, fake_count: int) -> None:
    real, fake = draw(real_count, 0.0, 1), draw(fake_count, 0.7, 2)
    expected = by_loops(real.double().numpy(), fake.double().numpy())
    assert kid(real, fake) == pytest.approx(expected, rel=1e-12)
    assert kid_interval(real, fake).value == kid(real, fake)
    assert kernel(real, fake).dtype == torch.float64


def test_unbiased() -> None:
    """Of equal distributions the mean is zero within its standard error; keeping equal pairs would shift it."""
    values = np.array([kid(draw(8, 0.0, 2 * seed), draw(8, 0.0, 2 * seed + 1)) for seed in range(1500)])
    error = values.std() / len(values) ** 0.5
    assert abs(values.mean()) < 4 * error
    diagonal = np.mean([kernel(x, x).diagonal().mean() for x in (draw(8, 0.0, seed) for seed in range(50))])
    assert 2 * (diagonal - 1) / 8 > 20 * error


def test_subsets() -> None:
    real, fake = draw(40, 0.0, 1), draw(40, 0.5, 2)
    assert kid(real, fake, subset_size=40, subsets=3) == pytest.approx(kid(real, fake), rel=1e-9)
    several = kid(real, fake, subset_size=20, subsets=400)
    assert several == kid(real, fake, subset_size=20, subsets=400)
    assert several != kid(real, fake, subset_size=20, subsets=400, seed=1)
    assert several == pytest.approx(kid(real, fake), rel=0.05)
    with pytest.raises(DataError, match="expected 2 to 40 pictures, got 41"):
        kid(real, fake, subset_size=41)


def test_interval_has_the_width_of_repeated_draws() -> None:
    repeated = [kid(draw(60, 0.0, 2 * seed), draw(60, 0.5, 2 * seed + 1)) for seed in range(300)]
    interval = kid_interval(draw(60, 0.0, 1000), draw(60, 0.5, 1001))
    width = np.subtract(*np.percentile(repeated, [97.5, 2.5]))
    assert interval.high - interval.low == pytest.approx(width, rel=0.35)
    assert interval.low < interval.value < interval.high
    assert interval == kid_interval(draw(60, 0.0, 1000), draw(60, 0.5, 1001))


def test_resampling_adds_no_bias() -> None:
    """A picture drawn twice is no pair: the middle of the interval stays near the figure."""
    real, fake = draw(12, 0.0, 3), draw(12, 0.0, 4)
    interval = kid_interval(real, fake)
    diagonal = float((kernel(real, real).diagonal().mean() + kernel(fake, fake).diagonal().mean()) / 12)
    assert abs((interval.low + interval.high) / 2 - interval.value) < 0.25 * diagonal


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (torch.zeros(1, 3), torch.zeros(4, 3), "two pictures or more"),
        (torch.zeros(4, 3), torch.zeros(4, 2), "the same width, got 3 and 2"),
        (torch.full((4, 3), torch.nan), torch.zeros(4, 3), "NaN"),
        (torch.zeros(4, 3), torch.tensor([[torch.inf] * 3] * 4), "infinity"),
        (torch.zeros(4), torch.zeros(4, 3), "N, D"),
    ],
)
def test_refused(real: torch.Tensor, fake: torch.Tensor, message: str) -> None:
    for measure in (kid, kid_interval):
        with pytest.raises(DataError, match=message):
            measure(real, fake)
