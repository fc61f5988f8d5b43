"""Compares a bundle with a baseline: parity, size and the ratio of latency to PyTorch may not get worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from export.comparison.summary import Summary
from export.evidence.figures import CEILING_DB
from mobile_diffusion.errors import ConfigError, ParityError
from mobile_diffusion.units import readable

_SHOWN = 3


@dataclass(frozen=True)
class Allowed:
    """How much worse than the baseline a bundle may be."""

    parity_db: float = 3.0
    """Decibels of the worst value of a check; values above CEILING_DB count as equal to it."""
    size: float = 1.02
    """Factor of a program's size."""
    latency: float = 1.5
    """Factor of the ratio of a stage's time to PyTorch's; a shared machine moves it by a third."""

    def __post_init__(self) -> None:
        if not (self.parity_db >= 0 and self.size >= 1 and self.latency >= 1):
            raise ConfigError(f"allowed: expected decibels of 0 or more and factors of 1 or more, got {self}")


@dataclass(frozen=True)
class Regression:
    """One figure that got worse than is allowed, or is gone."""

    place: str
    baseline: str
    got: str

    def __str__(self) -> str:
        return f"{self.place}: expected {self.baseline} or better, got {self.got}"


def regressions(baseline: Summary, now: Summary, allowed: Allowed = Allowed()) -> list[Regression]:
    """Every regression; raises `ConfigError` for the baseline of another target."""
    if baseline.target != now.target:
        raise ConfigError(f"baseline: expected one of {now.target}, got {baseline.target}; give that of this target")
    return [*_parity(baseline, now, allowed), *_sizes(baseline, now, allowed), *_latency(baseline, now, allowed)]


def require_none(found: Sequence[Regression], baseline: object) -> None:
    """Raise one `ParityError` that names the first regressions and counts all of them, if there are any."""
    if found:
        shown = "; ".join(map(str, found[:_SHOWN]))
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        fix = "if this is intended, write a new baseline with --write-baseline"
        raise ParityError(f"{len(found)} figures are worse than in {baseline}: {shown}{more}; {fix}")


def _parity(baseline: Summary, now: Summary, allowed: Allowed) -> Iterator[Regression]:
    found = {(each.runtime, each.check, each.metric): each.worst for each in now.parity}
    for each in baseline.parity:
        value = found.get((each.runtime, each.check, each.metric))
        least = min(each.worst, CEILING_DB) - allowed.parity_db
        if value is None or not value >= least:
            got = "nothing" if value is None else f"{value:.1f} dB"
            yield Regression(f"parity {each.runtime} {each.check}", f"{least:.1f} dB", got)


def _sizes(baseline: Summary, now: Summary, allowed: Allowed) -> Iterator[Regression]:
    found = {(each.runtime, each.stage): each.bytes for each in now.programs}
    for each in baseline.programs:
        size = found.get((each.runtime, each.stage))
        most = int(each.bytes * allowed.size)
        if size is None or size > most:
            got = "nothing" if size is None else f"{readable(size)} ({size} bytes)"
            yield Regression(f"size {each.runtime} {each.stage}", f"{readable(most)} ({most} bytes)", got)


def _latency(baseline: Summary, now: Summary, allowed: Allowed) -> Iterator[Regression]:
    found = {(each.runtime, each.stage): each.ratio for each in now.latency}
    for each in baseline.latency:
        ratio, most = found.get((each.runtime, each.stage)), each.ratio * allowed.latency
        if ratio is None or not ratio <= most:
            got = "nothing" if ratio is None else f"{ratio:.2f}"
            yield Regression(f"latency {each.runtime} {each.stage}", f"{most:.2f} of PyTorch's time", got)
