"""The result of a comparison: `parity.json` for machines, a table for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from export.parity.gates import Failure, judge, limits, primary_metric, require
from export.parity.measure import CHECKS, Measurement
from mobile_diffusion.decibels import db_text, json_number, worst
from mobile_diffusion.errors import ParityError

PARITY_COLUMNS = ("runtime", "check", "worst", "median", "limit", "max error", "SSIM", "")


@dataclass(frozen=True)
class ParityRow:
    """All measurements of one check with one runtime."""

    runtime: str
    precision: str
    check: str
    metric: str
    """`snr_db`, or `psnr_db` for pictures."""
    count: int
    worst: float
    median: float
    max_abs: float | None
    """None for pictures."""
    ssim: float | None
    """Worst; for pictures only."""
    limit: float
    passed: bool


@dataclass(frozen=True)
class ParityReport:
    """Every comparison of some runtimes with PyTorch, and the verdict of the gates."""

    precisions: Mapping[str, str]
    """Precision of each runtime."""
    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...]
    checks: tuple[str, ...]
    """The planned checks in order; one without a measurement has failed."""
    guidance: float
    """Guidance scale that the programs compute with; 1 for none."""

    @property
    def passed(self) -> bool:
        """Whether every check was made and passed its gates."""
        return bool(self.measurements) and not self.failures and not self.missing

    @property
    def missing(self) -> list[str]:
        """Planned checks without a measurement."""
        made = {(measurement.runtime, measurement.check) for measurement in self.measurements}
        wanted = [(runtime, check) for runtime in self.precisions for check in self.checks]
        return [f"{runtime} {check}" for runtime, check in wanted if (runtime, check) not in made]

    def require(self) -> None:
        """Raise `ParityError` unless passed."""
        require(self.failures, len(self.measurements))
        if self.missing:
            raise ParityError(f"expected every check to be made, got none of {', '.join(self.missing)}")

    def rows(self) -> list[ParityRow]:
        """One row per runtime and check, in the order in which an app computes."""
        return [_row(self, runtime, check) for runtime in self.precisions for check in self.checks]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON: infinity as 300 dB, NaN as null."""
        values = {
            "schema_version": 1,
            "passed": self.passed,
            "summary": [asdict(row) for row in self.rows()],
            "measurements": [asdict(measurement) for measurement in self.measurements],
            "failures": [str(failure) for failure in self.failures],
        }
        return _json(values)


def build_report(
    measurements: Mapping[str, Sequence[Measurement]],
    precisions: Mapping[str, str],
    checks: Sequence[str],
    guidance: float = 1.0,
) -> ParityReport:
    """Judge the measurements of each runtime by its precision and guidance scale."""
    failures = [failure for name, found in measurements.items() for failure in judge(found, precisions[name], guidance)]
    together = tuple(measurement for found in measurements.values() for measurement in found)
    return ParityReport(dict(precisions), together, tuple(failures), tuple(checks), guidance)


def merge(reports: Sequence[ParityReport]) -> ParityReport:
    """Join reports of one model with different runtimes."""
    precisions = {name: precision for report in reports for name, precision in report.precisions.items()}
    measurements = tuple(measurement for report in reports for measurement in report.measurements)
    failures = tuple(failure for report in reports for failure in report.failures)
    checks = tuple(check for check in CHECKS if any(check in report.checks for report in reports))
    return ParityReport(precisions, measurements, failures, checks, reports[0].guidance)


def parity_table(report: ParityReport) -> Table:
    """The report as a table, one row per runtime and check."""
    table = Table(title="Parity with PyTorch (worst over all prompts and steps)")
    for column in PARITY_COLUMNS:
        table.add_column(column, justify="left" if column in ("runtime", "check") else "right", no_wrap=True)
    previous = None
    for row in report.rows():
        if previous not in (None, row.runtime):
            table.add_section()
        previous = row.runtime
        table.add_row(*cells(row))
    return table


def cells(row: ParityRow) -> tuple[str, ...]:
    """A row as text: runtime, check, worst, median, limit, largest error, SSIM, verdict."""
    return (
        f"{row.runtime} {row.precision}",
        row.check.replace("_", " "),
        db_text(row.worst),
        db_text(row.median),
        f"{row.limit:g} dB",
        "" if row.max_abs is None else f"{row.max_abs:.1e}",
        "" if row.ssim is None else f"{row.ssim:.4f}",
        "ok" if row.passed else "FAILED",
    )


def _row(report: ParityReport, runtime: str, check: str) -> ParityRow:
    found = [m for m in report.measurements if m.runtime == runtime and m.check == check]
    failed = any(f.measurement.runtime == runtime and f.measurement.check == check for f in report.failures)
    precision = report.precisions[runtime]
    metric = "psnr_db" if check == "picture" else "snr_db"
    values = [getattr(m.metrics, primary_metric(m), math.nan) for m in found] or [math.nan]
    return ParityRow(
        runtime=runtime,
        precision=precision,
        check=check,
        metric=metric,
        count=len(found),
        worst=worst(values),
        median=_median(values),
        max_abs=_extreme(found, "max_abs", max),
        ssim=_extreme(found, "ssim", min),
        limit=next(limit.at_least for limit in limits(precision, check, report.guidance) if limit.metric == metric),
        passed=bool(found) and not failed,
    )


def _median(values: Sequence[float]) -> float:
    """The lower of the two middle values, so that infinities are not averaged."""
    return float(np.sort(values)[(len(values) - 1) // 2])


def _extreme(found: Sequence[Measurement], metric: str, choose: Any) -> float | None:
    values = [getattr(m.metrics, metric) for m in found if hasattr(m.metrics, metric)]
    if not values:
        return None
    return math.nan if any(map(math.isnan, values)) else float(choose(values))


def _json(value: Any) -> Any:
    """The value with NaN and infinities replaced."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, float):
        return json_number(value)
    return value
