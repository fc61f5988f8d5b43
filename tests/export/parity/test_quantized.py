"""Limits of quantized programs: a broken one is refused at every precision, in every check."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.paths import RESULTS
from export.parity.gates import LEAST_DB, THRESHOLDS, judge
from export.parity.measure import CHECKS, Measurement
from export.parity.metrics import compare, compare_pictures
from export.parity.quantized import ROUNDINGS

GUIDANCE = 3.0


def npu_rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RESULTS / "android_npu.json").read_text(encoding="utf-8"))["rows"]
    return found


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


FIELDS = {
    "encode_text snr_db": "text",
    "denoise snr_db": "denoise",
    "prediction snr_db": "prediction",
    "decode_image snr_db": "decoder",
    "free_running snr_db": "free_running",
    "picture psnr_db": "picture",
}


@pytest.mark.parametrize(
    "row", [row for row in npu_rows() if row["precision"] in ROUNDINGS], ids=lambda row: row["precision"]
)
def test_limits_leave_the_shipped_model_room(row: dict[str, Any]) -> None:
    """Measured figures of the model that is shipped: its own export must not fail for what rounding costs."""
    limits = ROUNDINGS[row["precision"]]
    assert {
        check: row["worst"][check] - getattr(limits, field) >= 5 for check, field in FIELDS.items()
    } == dict.fromkeys(FIELDS, True)


def test_four_bits_never_have_a_stricter_gate_than_eight() -> None:
    eight, four = ROUNDINGS["int8-dynamic"], ROUNDINGS["int4-dynamic"]
    names = ("text", "denoise", "prediction", "decoder", "free_running", "picture", "ssim")
    assert all(getattr(four, name) <= getattr(eight, name) for name in names)
