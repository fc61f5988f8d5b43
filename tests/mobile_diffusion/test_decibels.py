"""Decibels by hand, and on values that try to slip through a limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mobile_diffusion.decibels import (
    db_text,
    gain_db,
    json_number,
    psnr_db,
    psnr_each,
    ratio_db,
    share_db,
    share_of,
    snr_db,
    worst,
)
from mobile_diffusion.errors import ParityError

BAD = (math.nan, math.inf, -math.inf)


def test_ratios_by_hand() -> None:
    assert ratio_db(1000.0, 1.0) == pytest.approx(30.0)
    assert ratio_db(1.0, 100.0) == pytest.approx(-20.0)
    assert (ratio_db(3.0, 0.0), ratio_db(0.0, 0.0), ratio_db(0.0, 1e-9)) == (math.inf, math.inf, -math.inf)
    assert share_db(0.01) == pytest.approx(20.0) and share_db(0.0) == math.inf
    assert share_of(20.0) == pytest.approx(0.01) and share_of(math.inf) == 0.0
    assert share_of(share_db(0.037)) == pytest.approx(0.037, rel=1e-12)
    assert gain_db(10.0) == pytest.approx(20.0)


def test_arrays_by_hand() -> None:
    reference, candidate = np.array([3.0, 4.0]), np.array([3.0, 3.5])
    assert snr_db(reference, candidate) == pytest.approx(20.0)  # 25 / 0.25
    assert psnr_db(np.zeros(4), np.full(4, 0.1)) == pytest.approx(20.0)
    assert snr_db(reference, reference) == psnr_db(reference, reference) == math.inf


@pytest.mark.parametrize("bad", BAD)
def test_a_limit_is_passed_by_nothing_that_is_not_finite(bad: float) -> None:
    limit = 0.0
    assert not ratio_db(1.0, bad) >= limit
    assert not ratio_db(bad, 0.0) >= limit
    assert not share_db(bad) >= limit
    for ratio in (snr_db, psnr_db):
        assert not ratio(np.ones(3), np.array([1.0, bad, 1.0])) >= limit
        assert not ratio(np.array([1.0, bad, 1.0]), np.array([1.0, bad, 1.0])) >= limit


def test_squares_that_float32_cannot_hold() -> None:
    reference = np.full(8, 1e25, np.float32)
    assert snr_db(reference, reference * np.float32(1.5)) == pytest.approx(20 * math.log10(2), abs=1e-4)
    tiny = np.full(8, 1e-25, np.float32)
    assert snr_db(tiny, tiny * np.float32(1.5)) == pytest.approx(20 * math.log10(2), abs=1e-4)


def test_pictures_one_by_one() -> None:
    images = torch.zeros(3, 3, 4, 4)
    others = torch.stack([torch.full((3, 4, 4), value) for value in (0.0, 0.1, 0.5)])
    found = psnr_each(images, others)
    assert found.dtype == torch.float64 and found[0] == math.inf
    assert found[1:].tolist() == pytest.approx([20.0, psnr_db(np.zeros(4), np.full(4, 0.5))], abs=1e-6)
    assert psnr_each(images, others, span=2.0)[1].item() == pytest.approx(20 + gain_db(2.0), abs=1e-6)


@pytest.mark.parametrize("values", [[math.nan, 40.0], [40.0, math.nan], [40.0, math.nan, 30.0], []])
def test_the_worst_with_nan_or_of_nothing_is_nan(values: list[float]) -> None:
    assert math.isnan(worst(values))


def test_the_worst_and_its_text() -> None:
    assert worst(iter([math.inf, 41.25, 60.0])) == 41.25 and worst([math.inf]) == math.inf
    assert (db_text(41.26), db_text(math.inf), db_text(math.nan)) == ("41.3 dB", "equal", "nan dB")


def test_figures_as_json_holds_them() -> None:
    assert [json_number(value) for value in (41.5, -3.0, math.inf, -math.inf, math.nan)] == [41.5, -3, 300, -300, None]


def test_other_shapes_and_nothing_at_all_are_refused() -> None:
    with pytest.raises(ParityError, match=r"shape \(2, 1\).*got \(1, 2\)"):
        snr_db(np.zeros((2, 1)), np.zeros((1, 2)))
    with pytest.raises(ParityError, match="empty"):
        psnr_db(np.zeros(0), np.zeros(0))
