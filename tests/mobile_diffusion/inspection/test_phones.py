"""Verdicts on phones, from stages whose sizes are made up."""

from __future__ import annotations

import pytest

from mobile_diffusion.inspection import PhonePlatform, StageCost, judge
from mobile_diffusion.units import GB

PHONE = PhonePlatform("ios", "a phone of 6 GB", 3 * GB, "fp16", 2)


def stage(name: str, weights: float, activations: float, runs: int = 1) -> StageCost:
    """A stage of so many gigabytes in float32."""
    sizes = {"fp32": 1.0, "fp16": 0.5, "int8": 0.25, "6-bit": 0.1875, "4-bit": 0.125}
    return StageCost(
        name, runs, 1, 1, int(activations * GB), "softmax 2x8", {k: int(weights * GB * v) for k, v in sizes.items()}
    )


@pytest.mark.parametrize(
    "weights, activations, takes, precision",
    [(2, 2, True, "fp16"), (6, 2, False, "int8"), (12, 2, False, "4-bit"), (2, 8, False, None)],
)
def test_verdict(weights: float, activations: float, takes: bool, precision: str | None) -> None:
    verdict = judge([stage("encode_text", 1, 0), stage("denoise", weights, activations)], PHONE)
    assert (verdict.takes, verdict.precision) == (takes, precision)
    assert verdict.need == int((weights / 2 + activations / 2) * GB)
    assert verdict.reason.startswith("denoise: ")
    assert "3.00 GB assumed for an app on a phone of 6 GB" in verdict.reason
    assert ("would fit at" in verdict.reason) == (precision not in ("fp16", None))
    assert ("too large at any precision, at its peak softmax 2x8" in verdict.reason) == (precision is None)
    assert "\n" not in verdict.reason


def test_the_largest_stage_decides_and_the_encoder_does_not() -> None:
    stages = [stage("denoise", 2, 1), stage("decode_image", 1, 3), stage("encode_image", 9, 9, runs=0)]
    verdict = judge(stages, PHONE)
    assert verdict.takes
    assert verdict.reason.startswith("decode_image")


def test_the_stage_that_compression_cannot_shrink_is_named() -> None:
    verdict = judge([stage("denoise", 10, 1), stage("decode_image", 0.2, 7)], PHONE)
    assert verdict.precision is None
    assert verdict.reason.startswith("denoise: 5.00 GB of fp16 weights")
    assert "decode_image is too large at any precision" in verdict.reason
