"""Counting against numpy's own float16 and exact arithmetic."""

from __future__ import annotations

import math
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
import torch

from export.studies.faults import counts as module
from export.studies.faults.counts import HALF_ROUNDOFF, LOST, SINGLE_ROUNDOFF, Counts, count_cancelled, count_result

NUMBERS = [0.0, 1.0, -1.0, 32752.0, 32760.0, -40000.0, 65504.0, 65519.0, 65520.0, -1e6, 1e-4, 5e-5, 1e-7, -2e-8, 1e-30]


def counted(values: list[float], operands_finite: bool = True) -> Counts:
    exact = torch.tensor(values)
    return count_result(exact, exact.half().float(), lambda: operands_finite)


@pytest.mark.parametrize("piece", [1, 4, 2**21])
def test_ranges_as_numpy_has_them(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    exact = np.array(NUMBERS, np.float32)
    with np.errstate(over="ignore"):
        stored = exact.astype(np.float16)
    info = np.finfo(np.float16)
    found = counted(NUMBERS)
    assert found.elements == len(NUMBERS)
    assert found.overflow == np.isinf(stored).sum() == 2
    assert found.underflow == ((stored == 0) & (exact != 0)).sum() == 2
    assert found.subnormal == ((stored != 0) & (np.abs(stored) < info.tiny)).sum() == 2
    assert found.saturated == (np.isfinite(stored) & (np.abs(stored) > info.max / 2)).sum() == 4
    assert (found.infinite, found.nan, found.broken) == (0, 0, 2)
    assert (found.highest, found.lowest) == (1e6, pytest.approx(1e-30))


def test_infinity_is_new_or_given() -> None:
    values = [math.inf, -math.inf, 2.0]
    assert counted(values).infinite == 2 and counted(values, operands_finite=False).infinite == 0
    assert counted(values).overflow == 0 and counted(values).highest == 2.0


def test_nan_is_counted_and_hides_nothing() -> None:
    found = counted([math.nan, 1e6, 1e-30])
    assert (found.nan, found.overflow, found.underflow, found.highest) == (1, 1, 1, 1e6)
    assert counted([math.nan]).highest == 0.0


def test_an_empty_result() -> None:
    assert counted([]) == Counts()


@pytest.mark.parametrize("roundoff", [HALF_ROUNDOFF, SINGLE_ROUNDOFF])
def test_cancellation_by_exact_fractions(roundoff: float) -> None:
    """x - y counts where moving both operands by their roundoff may move the result by more than LOST of itself."""
    x = np.float32(1000.0) + np.arange(-20, 21, dtype=np.float32) * np.float32(roundoff * 4000)
    y = np.full_like(x, 1000.0)
    wanted = 0
    for left, right in zip(map(Fraction, x.tolist()), map(Fraction, y.tolist()), strict=True):
        moved = (left * (1 + Fraction(roundoff))) - (right * (1 - Fraction(roundoff)))
        wanted += abs(moved - (left - right)) > Fraction(LOST) * abs(left - right)
    tensors = {"x": torch.from_numpy(x), "y": torch.from_numpy(y)}
    exact = tensors["x"] - tensors["y"]
    found = count_cancelled(tensors, exact, {"x": roundoff, "y": roundoff})
    assert found == wanted and 0 < found < len(x)


def test_operands_that_are_exact_do_not_cancel() -> None:
    tensors = {"x": torch.tensor([1.0, 1.0]), "y": torch.tensor([1.0, 0.0])}
    assert count_cancelled(tensors, tensors["x"] - tensors["y"], {"x": 0.0, "y": 0.0}) == 0


def test_the_worst_of_two_runs() -> None:
    one, two = Counts(4, overflow=3, highest=5.0, lowest=0.5), Counts(4, nan=1, highest=2.0, lowest=0.1)
    assert one.worst(two) == Counts(4, overflow=3, nan=1, highest=5.0, lowest=0.1)
    assert {each.name for each in fields(Counts)} >= {"overflow", "nan", "cancelled", "inside"}
