"""Ratios in the results and tables: a NaN is found wherever it stands, and is not shown as equal."""

from __future__ import annotations

import math

import pytest

from benchmarks.coreml.compression_curve import rounded
from benchmarks.documents.markers import decibels
from benchmarks.onnx.web import worst_of
from export.parity.measure import Measurement
from export.parity.metrics import Metrics, PictureMetrics
from mobile_diffusion.decibels import MAX_DB
from mobile_diffusion.errors import ExportError


def latents(ratio: float) -> Measurement:
    return Measurement("onnx", "denoise", "a red apple", 0, Metrics(ratio, 0.0, 1.0, math.isfinite(ratio)))


def picture(ratio: float) -> Measurement:
    return Measurement("onnx", "picture", "a red apple", None, PictureMetrics(ratio, 1.0, math.isfinite(ratio)))


@pytest.mark.parametrize("ratios", [(math.nan, 90.0, 80.0), (90.0, math.nan, 80.0), (90.0, 80.0, math.nan)])
def test_the_worst_of_a_check_keeps_a_nan(ratios: tuple[float, ...]) -> None:
    assert worst_of([*map(latents, ratios), picture(70.04)]) == {"denoise": None, "picture": 70.0}


def test_the_worst_of_a_check_is_the_least_ratio() -> None:
    found = [latents(90.0), picture(math.inf), latents(80.26), picture(math.inf)]
    assert worst_of(found) == {"denoise": 80.3, "picture": MAX_DB}


def test_an_output_of_the_wrong_shape_has_no_worst() -> None:
    with pytest.raises(ExportError, match="denoise: expected a comparison, got an output of shape"):
        worst_of([Measurement("onnx", "denoise", "a red apple", 0, None, "an output of shape (1,)")])


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [(80.26, "80.3"), (-3.0, "-3.0"), (math.inf, "equal"), (math.nan, "NaN"), (-math.inf, "-300.0")],
)
def test_tables_tell_equal_from_nan(ratio: float, shown: str) -> None:
    assert decibels(rounded(ratio)) == shown
    if ratio > 0 or math.isnan(ratio):
        assert decibels(ratio) == shown, "as studies write it, without json_number"
