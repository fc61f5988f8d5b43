"""Reads latency.json, from an export or from a phone."""

from __future__ import annotations

from pathlib import Path

from export.latency.measure import KINDS, LatencyReport, RunnerLatency
from export.signatures import STAGES
from mobile_diffusion.config_json import from_dict
from mobile_diffusion.errors import BundleError, MobileDiffusionError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import parse_json


def read_latency(path: Path) -> LatencyReport:
    """The report in a file; raises `BundleError` if it cannot be read or is malformed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = type(error).__name__
        raise BundleError(f"{path}: expected latency.json, got {got}; export the bundle again") from None
    return parse_latency(text, str(path))


def parse_latency(text: str, source: str) -> LatencyReport:
    """The report in a text; errors name `source`.  The derived `spread_ms` is not read."""
    try:
        values = parse_json(text)
        for stage in (stage for runner in values["runners"] for stage in runner["stages"]):
            stage.pop("spread_ms", None)
        report = from_dict(LatencyReport, values)
    except (ValueError, LookupError, TypeError, AttributeError, MobileDiffusionError) as error:
        raise BundleError(f"{source}: expected times in the form of latency.json, got {_short(error)}") from None
    if not report.runners:
        raise BundleError(f"{source}: expected the times of a runner, got none")
    for runner in report.runners:
        _check(runner, source)
    return report


def _check(runner: RunnerLatency, source: str) -> None:
    stages = [stage.stage for stage in runner.stages]
    missing = [stage for stage in STAGES if stage not in stages]
    if runner.kind not in KINDS or missing or len(set(stages)) != len(stages):
        got = f"{quoted(runner.kind)} with {', '.join(stages) or 'none'}"
        expected = f"{' or '.join(KINDS)} with {', '.join(STAGES)} once each"
        raise BundleError(f"{source}: {runner.runner}: expected {expected}, got {got}")


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
