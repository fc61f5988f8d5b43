"""How close is close enough: one table of limits by precision, each with its reason.

A gate checks every measurement and collects every failure; `require` raises once, at the end.  A comparison is written
`not value >= limit`, so NaN fails; infinite outputs and outputs of the wrong shape fail, too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from export.parity.compressed import DECODER, LOSSES, TEXT, bits_of
from export.parity.measure import Measurement
from export.parity.metrics import PictureMetrics
from export.parity.quantized import ROUNDINGS, Rounding
from mobile_diffusion.decibels import gain_db, worst
from mobile_diffusion.errors import ParityError

_SHOWN = 3
LEAST_DB = 1.0
"""No limit is below this: an output of zeros has 0 dB."""


@dataclass(frozen=True)
class Gate:
    """The least allowed value of one metric in one check."""

    check: str
    metric: str
    at_least: float
    reason: str
    guided: bool = False
    """Whether `at_least` is for an unguided output, so that guidance lowers it (`error_gain`)."""


def quantized(rounding: Rounding) -> tuple[Gate, ...]:
    """The limits for programs with rounded weights and activations (quantized.py)."""
    return (
        Gate("encode_text", "snr_db", rounding.text, rounding.gave),
        Gate("encode_image", "snr_db", rounding.decoder, "as the decoder, in the other direction"),
        Gate("encode_hint", "snr_db", rounding.decoder, "as the encoder of a picture"),
        Gate("denoise", "snr_db", rounding.denoise, rounding.gave),
        Gate("prediction", "snr_db", rounding.prediction, rounding.gave, True),
        Gate("decode_image", "snr_db", rounding.decoder, rounding.gave),
        Gate("free_running", "snr_db", rounding.free_running, rounding.gave),
        Gate("picture", "psnr_db", rounding.picture, rounding.gave),
        Gate("picture", "ssim", rounding.ssim, rounding.gave),
    )


THRESHOLDS: Mapping[str, tuple[Gate, ...]] = {
    "fp32": (
        Gate("encode_text", "snr_db", 80, "other orders of summation gave 115; a wrong operation gives below 60"),
        Gate("encode_image", "snr_db", 80, "as the decoder, in the other direction"),
        Gate("encode_hint", "snr_db", 80, "as the encoder of a picture"),
        Gate("denoise", "snr_db", 80, "other orders of summation gave 121; a wrong coefficient stands far below"),
        Gate("prediction", "snr_db", 89, "gave 117; the update divided out, so rounding of x grows by 1 / b", True),
        Gate("decode_image", "snr_db", 80, "other orders of summation gave 118; a wrong operation below 60"),
        Gate("free_running", "snr_db", 70, "gave 110; guided steps may amplify rounding, with other weights more"),
        Gate("picture", "psnr_db", 70, "gave 119; 70 dB is an error of a twelfth of a level of 8 bits"),
        Gate("picture", "ssim", 0.9999, "gave 1.0000"),
    ),
    "fp16": (
        Gate("encode_text", "snr_db", 40, "rounding each result gave 57, Core AI 54; devices also accumulate in half"),
        Gate("encode_image", "snr_db", 40, "as the decoder, in the other direction"),
        Gate("encode_hint", "snr_db", 40, "as the encoder of a picture"),
        Gate("denoise", "snr_db", 40, "rounding each result gave 61, Core AI 66; the update itself is in float32"),
        Gate("prediction", "snr_db", 49, "gave 57, Core AI 52; guidance multiplies the errors of its halves", True),
        Gate("decode_image", "snr_db", 40, "rounding each result gave 60, Core AI 73; devices also accumulate in half"),
        Gate("free_running", "snr_db", 35, "gave 47, Core AI 46; N guided steps accumulate the error of each"),
        Gate("picture", "psnr_db", 35, "gave 58, Core AI 57; at 35 dB the object is the same and edges differ faintly"),
        Gate("picture", "ssim", 0.97, "gave 1.0000; structure may not change"),
    ),
    **{precision: quantized(rounding) for precision, rounding in ROUNDINGS.items()},
}
"""Limits per precision.  "gave" is the worst that was measured over all prompts, steps and runtimes of the emoji model,
untrained and trained, with this toolchain; guided limits add the 14 dB that its guidance scale of 3 costs."""


@dataclass(frozen=True)
class Failure:
    """A measurement that did not pass its gate."""

    measurement: Measurement
    reason: str

    def __str__(self) -> str:
        found = self.measurement
        step = "" if found.step is None else f" step {found.step}"
        return f"{found.runtime} {found.check}{step} {found.case}: {self.reason}"


def error_gain(guidance: float) -> float:
    """Largest growth of an error e of both predictions in u + w (c - u): (w - 1) e + w e; 1 without guidance, w = 1."""
    return max(1.0, 2 * guidance - 1)


def limits(grade: str, check: str, guidance: float = 1.0) -> list[Gate]:
    """The limits of one check at a guidance scale.

    A grade is a precision, or a precision and a compression: "fp16 palettize-6".
    """
    lower = gain_db(error_gain(guidance))
    precision, _, compression = grade.partition(" ")
    return [
        dataclasses.replace(limit, at_least=max(round(limit.at_least - lower, 1), LEAST_DB)) if limit.guided else limit
        for limit in (compressed(compression) if compression else THRESHOLDS[precision])
        if limit.check == check
    ]


def compressed(compression: str) -> tuple[Gate, ...]:
    """The limits for programs with compressed weights (compressed.py)."""
    loss, stage = LOSSES[bits_of(compression)], "this stage keeps 8 bits"
    return (
        Gate("encode_text", "snr_db", TEXT, stage),
        Gate("encode_image", "snr_db", DECODER, stage),
        Gate("encode_hint", "snr_db", DECODER, stage),
        Gate("denoise", "snr_db", loss.denoise, loss.gave),
        Gate("prediction", "snr_db", loss.prediction, loss.gave, True),
        Gate("decode_image", "snr_db", DECODER, stage),
        Gate("free_running", "snr_db", loss.free_running, loss.gave),
        Gate("picture", "psnr_db", loss.picture, loss.gave),
        Gate("picture", "ssim", loss.ssim, loss.gave),
    )


def judge(measurements: Iterable[Measurement], grade: str, guidance: float = 1.0) -> list[Failure]:
    """The measurements that do not pass, for artifacts of one grade at one guidance scale."""
    return [failure for measurement in measurements for failure in _judge_one(measurement, grade, guidance)]


def _judge_one(measurement: Measurement, grade: str, guidance: float) -> list[Failure]:
    metrics = measurement.metrics
    if metrics is None:
        return [Failure(measurement, measurement.problem)]
    if not metrics.finite:
        return [Failure(measurement, "expected finite values, got NaN or infinity")]
    return [
        Failure(measurement, f"{limit.metric} {getattr(metrics, limit.metric):.4g}, expected {limit.at_least:g}")
        for limit in limits(grade, measurement.check, guidance)
        if not getattr(metrics, limit.metric) >= limit.at_least
    ]


def margin_db(measurement: Measurement, grade: str, guidance: float = 1.0) -> float:
    """By how many dB a measurement passes its nearest limit; infinity or its negative for a limit of another unit."""
    metrics = measurement.metrics
    if metrics is None or not metrics.finite:
        return -math.inf
    passed = []
    for limit in limits(grade, measurement.check, guidance):
        above = getattr(metrics, limit.metric) - limit.at_least
        passed.append(above if limit.metric.endswith("_db") else math.copysign(math.inf, above))
    return worst(passed)


def require(failures: Sequence[Failure], compared: int) -> None:
    """Raise one `ParityError` that names the first failures and counts all of them, if there are any."""
    if not compared:
        raise ParityError("expected measurements, got none: nothing was compared")
    if failures:
        shown = "; ".join(map(str, failures[:_SHOWN]))
        more = f"; and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
        raise ParityError(
            f"{len(failures)} gates failed in {compared} comparisons with PyTorch: {shown}{more}; "
            "do not ship these programs"
        )


def primary_metric(measurement: Measurement) -> str:
    """The metric that ranks the measurements of a check."""
    return "psnr_db" if isinstance(measurement.metrics, PictureMetrics) else "snr_db"
