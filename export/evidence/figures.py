"""parity.json and the manifest's summary of it: recomputed from the measurements, and measured again.

Every measurement of parity.json is compared with one that was just made with the same program and golden vector.  Other
processors and thread counts sum in another order, so the two may differ by SAME_DB.  Above CEILING_DB both are as good
as equal: float32's own rounding.  benchmarks/machine/repeated_parity.py measures how far repeated figures are apart.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from export.bundle.bundle import Bundle
from export.evidence.difference import Difference, differing
from export.job.manifest_description import summarise
from export.job.page import PARITY_FILE
from export.parity.measure import Measurement, checks_of
from export.parity.metrics import Metrics, PictureMetrics
from export.parity.report import ParityReport, build_report
from export.parity.trajectories import Trajectory
from export.runtime import graded
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.decibels import MAX_DB
from mobile_diffusion.errors import BundleError, MobileDiffusionError
from mobile_diffusion.quoting import shortened
from mobile_diffusion.strict_json import parse_json

CHECK = "figures"
SAME_DB = 3.0
CEILING_DB = 85.0
_RATIOS = ("snr_db", "psnr_db")


def read_parity(bundle: Bundle, trajectories: Sequence[Trajectory], depth: str) -> ParityReport:
    """Judge the measurements of a bundle's parity.json again; raises `BundleError` if it is malformed."""
    path = bundle.path / PARITY_FILE
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
        found = [_measurement(each) for each in values["measurements"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, MobileDiffusionError) as error:
        got = f"{type(error).__name__}: {error}"
        raise BundleError(f"{path}: expected measurements, got {shortened(got)}; export the bundle again") from None
    entries = [entry for entry in bundle.manifest.runtimes if entry.verified]
    grades = {entry.name: graded(entry.artifacts[0].precision, entry.artifacts[0].compression) for entry in entries}
    unknown = sorted({measurement.runtime for measurement in found} - set(grades))
    if unknown:
        raise BundleError(f"{path}: expected measurements of {', '.join(grades) or 'none'}, got {', '.join(unknown)}")
    by_runtime = {name: [each for each in found if each.runtime == name] for name in grades}
    settings = bundle.settings()
    guidance = trajectories[0].guidance if settings.guidance_kind == "cfg" else 1.0
    return build_report(by_runtime, grades, checks_of(depth, trajectories), guidance)


def check_parity_file(bundle: Bundle, recorded: ParityReport) -> list[Difference]:
    """Summary, verdict and failures of parity.json, and the manifest's summary, follow from its measurements."""
    values = parse_json((bundle.path / PARITY_FILE).read_text(encoding="utf-8"))
    made = json.loads(json.dumps(recorded.to_json()))
    found = [Difference(CHECK, f"{PARITY_FILE}: {place}", *pair) for place, *pair in differing(made, values)]
    kept = [to_dict(entry) for entry in bundle.manifest.parity]
    wanted = [to_dict(entry) for entry in summarise(recorded)]
    for place, *pair in differing(wanted, kept, "parity"):
        found.append(Difference(CHECK, f"manifest.json: {place}", *pair))
    return found


def check_measured_again(recorded: ParityReport, measured: ParityReport) -> list[Difference]:
    """Every recorded ratio is the one measured now, within SAME_DB."""
    now = [each for each in measured.measurements if each.runtime in recorded.precisions]
    pairs = zip(_keyed(recorded.measurements).items(), _keyed(now).items(), strict=False)
    differences = [
        Difference(CHECK, f"{PARITY_FILE}: measurements", f"{len(now)} of them", str(len(recorded.measurements)))
    ] * (len(now) != len(recorded.measurements))
    for (key, old), (other, new) in pairs:
        if key != other:
            return [*differences, Difference(CHECK, f"{PARITY_FILE}: measurements", _named(other), _named(key))]
        differences += _compare(key, old, new)
    return differences


Key = tuple[Any, ...]


def _keyed(measurements: Sequence[Measurement]) -> dict[Key, Measurement]:
    """Measurements by runtime, check, case, step and, since both contexts have these in common, their number."""
    found: dict[Key, Measurement] = {}
    for each in measurements:
        number = 0
        while (key := (each.runtime, each.check, each.case, each.step, number)) in found:
            number += 1
        found[key] = each
    return found


def _compare(key: Key, old: Measurement, new: Measurement) -> Iterator[Difference]:
    if old.metrics is None or new.metrics is None:
        if (old.metrics, old.problem) != (new.metrics, new.problem):
            yield Difference(CHECK, f"{PARITY_FILE}: {_named(key)}", new.problem or "metrics", old.problem or "metrics")
        return
    for name in _RATIOS:
        before, after = getattr(old.metrics, name, None), getattr(new.metrics, name, None)
        if before is not None and after is not None and not _same(before, after):
            place = f"{PARITY_FILE}: {_named(key)}: {name}"
            yield Difference(CHECK, place, f"{after:.1f} within {SAME_DB:g} dB, as measured now", f"{before:.1f}")


def _same(before: float, after: float) -> bool:
    """Whether two ratios are the same up to the order of sums; NaN is the same as nothing."""
    low, high = sorted((min(before, CEILING_DB), min(after, CEILING_DB)))
    return high - low <= SAME_DB


def _named(key: Key) -> str:
    runtime, check, case, step, _ = key
    return f"{runtime} {check}{'' if step is None else f' step {step}'} {case}"


def _measurement(values: Mapping[str, Any]) -> Measurement:
    """A measurement as `ParityReport.to_json` writes it."""
    metrics = values["metrics"]
    if metrics is None:
        made: Metrics | PictureMetrics | None = None
    else:
        kind: type[Metrics] | type[PictureMetrics] = PictureMetrics if "psnr_db" in metrics else Metrics
        made = from_dict(kind, {name: _number(name, value) for name, value in metrics.items()})
    return from_dict(Measurement, {**values, "metrics": None}) if made is None else _with(values, made)


def _with(values: Mapping[str, Any], metrics: Metrics | PictureMetrics) -> Measurement:
    bare = from_dict(Measurement, {**values, "metrics": None})
    return Measurement(bare.runtime, bare.check, bare.case, bare.step, metrics, bare.problem)


def _number(name: str, value: Any) -> Any:
    """The number that JSON has in place of NaN and infinity."""
    if value is None:
        return math.nan
    if name in _RATIOS and isinstance(value, float) and abs(value) == MAX_DB:
        return math.copysign(math.inf, value)
    return value
