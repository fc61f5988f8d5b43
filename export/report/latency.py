"""Latency as a table for people; export/latency measures, and reads and writes latency.json."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from export.latency.measure import KINDS, Conditions, LatencyReport, RunnerLatency
from export.latency.other_work import BUSY
from export.signatures import STAGES

LATENCY_COLUMNS = ("runner", "threads", *(stage.replace("_", " ") for stage in STAGES), "picture")


def latency_rows(report: LatencyReport, calls: int) -> list[tuple[str, ...]]:
    """A row per runner: median and interquartile range per stage, and the time of a picture; `calls` of `denoise`."""
    return [_row(runner, calls) for runner in report.runners]


def latency_table(report: LatencyReport, calls: int) -> Table:
    """The report as a table with its conditions."""
    table = Table(title="Latency on this computer, in ms: median ± interquartile range", caption=conditions(report))
    for column in LATENCY_COLUMNS:
        table.add_column(column, justify="left" if column == "runner" else "right")
    for row in latency_rows(report, calls):
        table.add_row(*row)
    return table


def conditions(report: LatencyReport) -> str:
    """Where and how the times were taken."""
    found = report.conditions
    load = "unknown" if found.load is None else f"{found.load:.1f}"
    runs = sorted({stage.runs for runner in report.runners for stage in runner.stages})
    times = "-".join(map(str, runs))
    return (
        f"{found.processor}, {found.cores} cores, {found.system}, load {load} at the start, {times} runs per "
        f"stage; not times of a phone{_disturbed(found)}"
    )


def _disturbed(found: Conditions) -> str:
    """The warning of a measurement beside other work."""
    if found.others is None or found.others < BUSY:
        return ""
    return (
        f"; the machine was busy: other processes took {found.others:.0%} of its time, so these times are too long; "
        "measure again with mobile-diffusion bench when it is quiet"
    )


def merge(reports: Sequence[LatencyReport]) -> LatencyReport:
    """Join reports of one machine; the first one counts for a runner that is in several."""
    runners = {runner.runner: runner for report in reversed(reports) for runner in report.runners}
    order = dict.fromkeys(runner.runner for report in reports for runner in report.runners)
    return LatencyReport(reports[0].conditions, tuple(runners[name] for name in order))


def _row(runner: RunnerLatency, calls: int) -> tuple[str, ...]:
    times = {stage.stage: stage for stage in runner.stages}
    cells = [f"{times[stage].median_ms:.1f} ± {times[stage].spread_ms:.1f}" for stage in STAGES]
    # The empty prompt is encoded once and kept by an app, so a picture has one text encoding.
    picture = sum(times[stage].median_ms * (calls if stage == "denoise" else 1) for stage in STAGES)
    name = f"{runner.runner} {runner.version}".strip()
    if runner.kind != "runtime":
        name = f"{name} ({KINDS[runner.kind]})"
    threads = "" if runner.threads is None else str(runner.threads)
    return (name, threads, *cells, f"{picture:.0f}")
