"""Judges whether a model fits on a phone: compares its largest stage with the memory that an app may use.

An app loads one stage at a time, so the largest sum of weights and activations decides.  The limits are assumptions,
not measurements: half the memory of a common phone.  Speed is not judged here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mobile_diffusion.inspection.stage_cost import PRECISIONS, StageCost
from mobile_diffusion.units import GB, readable


@dataclass(frozen=True)
class PhonePlatform:
    """A phone platform, with the assumptions about its phones and its exports."""

    name: str
    device: str
    """The phone that is assumed."""
    limit: int
    """Bytes that an app may use, by assumption half of the phone's memory."""
    precision: str
    """Precision of the weights in an uncompressed export."""
    activation_bytes: int
    """Bytes per activation."""


PHONES = (
    PhonePlatform("ios", "an iPhone of 6 GB", 3 * GB, "fp16", 2),
    PhonePlatform("android", "a phone of 8 GB", 4 * GB, "fp32", 4),
)


@dataclass(frozen=True)
class Verdict:
    """Whether a model fits on a phone."""

    phone: str
    takes: bool
    """Whether the model fits when it is exported without compression."""
    precision: str | None
    """The highest precision of the weights that fits; None when none does."""
    need: int
    """Bytes of the largest stage, uncompressed: weights and activations."""
    limit: int
    """Bytes that an app may use."""
    reason: str
    """One line: which stage needs how much memory, and what would help."""


def judge(stages: Iterable[StageCost], phone: PhonePlatform) -> Verdict:
    """Compare the stages that run for a picture (`runs` above 0) with a phone's memory."""
    needed = [stage for stage in stages if stage.runs]
    choices = list(PRECISIONS)[list(PRECISIONS).index(phone.precision) :]
    largest = {precision: max(needed, key=lambda stage: _need(stage, phone, precision)) for precision in choices}
    needs = {precision: _need(stage, phone, precision) for precision, stage in largest.items()}
    fitting = next((precision for precision in choices if needs[precision] <= phone.limit), None)
    first = choices[0]
    reason = _sum(largest[first], phone, first)
    if fitting is None:
        last = largest[choices[-1]]
        reason += f"; {last.name} is too large at any precision, at its peak {last.peak}: choose a smaller picture"
    elif fitting != first:
        reason += f"; would fit at {fitting}: {readable(needs[fitting])}"
    return Verdict(phone.name, fitting == first, fitting, needs[first], phone.limit, reason)


def _need(stage: StageCost, phone: PhonePlatform, precision: str) -> int:
    return stage.weight_bytes[precision] + _activations(stage, phone)


def _activations(stage: StageCost, phone: PhonePlatform) -> int:
    return stage.activation_bytes * phone.activation_bytes // 4


def _sum(stage: StageCost, phone: PhonePlatform, precision: str) -> str:
    weights, activations = stage.weight_bytes[precision], _activations(stage, phone)
    return (
        f"{stage.name}: {readable(weights)} of {precision} weights + {readable(activations)} of activations; "
        f"{readable(phone.limit)} assumed for an app on {phone.device}"
    )
