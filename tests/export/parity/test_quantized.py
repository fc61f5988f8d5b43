"""Limits of quantized programs: a broken one is refused at every precision, in every check."""

from __future__ import annotations

import numpy as np
import pytest

from export.parity.gates import LEAST_DB, THRESHOLDS, judge
from export.parity.measure import CHECKS, Measurement
from export.parity.metrics import compare, compare_pictures
from export.parity.quantized import ROUNDINGS

GUIDANCE = 3.0


def measured(check: str, reference: np.ndarray, candidate: np.ndarray) -> Measurement:
    distance = compare_pictures if check == "picture" else compare
    return Measurement("xnnpack", check, "a case", 0, distance(reference, candidate))


@pytest.mark.parametrize("precision", ROUNDINGS)
@pytest.mark.parametrize("check", CHECKS)
def test_zeros_and_strangers_are_refused_and_the_reference_is_not(precision: str, check: str) -> None:
    generator = np.random.default_rng(1)
    reference, stranger = (generator.random((1, 3, 16, 16)) for _ in range(2))
    if check != "picture":  # centred, as latents and contexts are
        reference, stranger = reference - 0.5, stranger - 0.5
    for broken in (np.zeros_like(reference), stranger, np.full_like(reference, np.nan)):
        assert judge([measured(check, reference, broken)], precision, GUIDANCE)
    assert not judge([measured(check, reference, reference)], precision, GUIDANCE)


@pytest.mark.parametrize("precision", ROUNDINGS)
def test_every_check_has_a_limit_with_its_reason(precision: str) -> None:
    limits = THRESHOLDS[precision]
    assert {limit.check for limit in limits} == set(CHECKS)
    assert all(limit.reason and (limit.metric == "ssim" or limit.at_least > LEAST_DB) for limit in limits)


def test_four_bits_never_have_a_stricter_gate_than_eight() -> None:
    eight, four = ROUNDINGS["int8-dynamic"], ROUNDINGS["int4-dynamic"]
    names = ("text", "denoise", "prediction", "decoder", "free_running", "picture", "ssim")
    assert all(getattr(four, name) <= getattr(eight, name) for name in names)
