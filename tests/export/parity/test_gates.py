"""Gates: every precision has a limit for every check, and nothing broken passes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from export.parity.gates import THRESHOLDS, judge, limits, require
from export.parity.measure import CHECKS, Measurement, planned_checks
from export.parity.metrics import compare, compare_pictures
from export.parity.report import build_report, parity_table
from mobile_diffusion.errors import ParityError

GRADES = (*THRESHOLDS, *(f"fp16 {name}" for name in ("int8", "palettize-6", "int4-block", "mixed-3.5", "palettize-2")))


def reference() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, 16, 16)).astype(np.float32)


def measurement(check: str, candidate: np.ndarray) -> Measurement:
    distance = compare_pictures if check == "picture" else compare
    return Measurement("fake", check, "'apple' seed 1", None, distance(reference(), candidate))


def spoiled(kind: str) -> np.ndarray:
    candidate = reference()
    values = {"nan": math.nan, "inf": math.inf, "minus inf": -math.inf, "spike": 1e9}
    if kind == "zeros":
        return np.zeros_like(candidate)
    if kind == "all nan":
        return np.full_like(candidate, math.nan)
    candidate[0, 1, 2, 3] = values[kind]
    return candidate


@pytest.mark.parametrize("precision", GRADES)
@pytest.mark.parametrize("check", CHECKS)
def test_every_check_has_a_limit_with_a_reason(precision: str, check: str) -> None:
    found = limits(precision, check)
    assert found
    assert all(limit.reason and limit.at_least > 0 for limit in found)


@pytest.mark.parametrize("precision", GRADES)
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("kind", ["nan", "inf", "minus inf", "spike", "zeros", "all nan"])
def test_broken_outputs_fail_every_gate(precision: str, check: str, kind: str) -> None:
    assert judge([measurement(check, spoiled(kind))], precision)


@pytest.mark.parametrize("precision", GRADES)
@pytest.mark.parametrize("check", CHECKS)
def test_equal_outputs_pass(precision: str, check: str) -> None:
    assert judge([measurement(check, reference())], precision) == []


def test_the_limit_itself_passes_and_just_below_fails() -> None:
    exact = reference().astype(np.float64)
    for offset, passes in ((1e-6, True), (-1e-6, False)):
        scale = 1 + 10 ** (-(80 + offset) / 20)
        metrics = compare(exact, exact * scale)
        assert (judge([Measurement("fake", "denoise", "case", 0, metrics)], "fp32") == []) is passes


def test_guidance_lowers_the_limit_of_the_prediction_alone() -> None:
    """Worst case: the halves u and c are wrong by -e and +e, so u + w (c - u) is wrong by (2w - 1) e."""
    for check in CHECKS:
        unguided, guided = limits("fp16", check), limits("fp16", check, guidance=5.5)
        lowered = [a.at_least - b.at_least for a, b in zip(unguided, guided, strict=True)]
        assert lowered == [20.0] if check == "prediction" else set(lowered) == {0.0}
    assert limits("fp32", "prediction", guidance=1.0) == limits("fp32", "prediction", guidance=0.5)


def test_wrong_shape_fails() -> None:
    failures = judge([Measurement("fake", "denoise", "case", 3, None, "expected (1, 4), got (4,)")], "fp32")
    assert "step 3" in str(failures[0])
    assert "(4,)" in str(failures[0])


def test_all_failures_are_raised_once_in_one_line() -> None:
    failures = judge([measurement(check, spoiled("nan")) for check in CHECKS], "fp32")
    with pytest.raises(ParityError) as caught:
        require(failures, len(CHECKS))
    message = str(caught.value)
    assert message.startswith(f"{len(CHECKS)} gates failed in {len(CHECKS)} comparisons")
    assert f"and {len(CHECKS) - 3} more" in message
    assert "\n" not in message


def test_no_measurements_are_no_parity() -> None:
    with pytest.raises(ParityError, match="nothing was compared"):
        require([], 0)
    assert not build_report({"fake": []}, {"fake": "fp32"}, CHECKS).passed


def test_a_check_that_was_not_made_is_a_failure() -> None:
    found = [measurement(check, reference()) for check in CHECKS if check != "denoise"]
    report = build_report({"fake": found}, {"fake": "fp32"}, CHECKS)
    assert not report.failures and not report.passed
    with pytest.raises(ParityError, match="fake denoise"):
        report.require()
    assert build_report({"fake": found}, {"fake": "fp32"}, planned_checks("trajectory", images=False)).missing
    assert planned_checks("step", images=False) == ("encode_text", "denoise", "prediction", "decode_image")


def test_report_says_failed_and_stays_json() -> None:
    import json

    found = [measurement(check, spoiled("nan") if check == "denoise" else reference()) for check in CHECKS]
    report = build_report({"fake": found}, {"fake": "fp32"}, CHECKS)
    rows = {row.check: row for row in report.rows()}
    assert not report.passed
    assert not rows["denoise"].passed
    assert math.isnan(rows["denoise"].worst)
    assert rows["picture"].passed
    values = json.loads(json.dumps(report.to_json(), allow_nan=False))
    summary = {row["check"]: row for row in values["summary"]}
    assert summary["denoise"]["worst"] is None
    assert summary["picture"]["worst"] == 300.0
    assert parity_table(report).row_count == len(CHECKS)
