"""A table of a phone's times next to this computer's."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from export.device.golden_record import Machine
from export.latency.measure import KINDS, Conditions, LatencyReport
from export.report.latency import LATENCY_COLUMNS, latency_rows
from export.signatures import STAGES


def device_table(phone: LatencyReport, computer: LatencyReport, calls: int) -> Table:
    """A row per runner on either, and a row with the computer's times divided by the phone's."""
    lines = [f"phone: {machine_text(phone.conditions)}", f"computer: {machine_text(computer.conditions)}"]
    table = Table(title="Latency in ms: median ± interquartile range", caption="; ".join(lines))
    for column in ("on", *LATENCY_COLUMNS):
        table.add_column(column, justify="left" if column in ("on", "runner") else "right")
    for where, report in (("phone", phone), ("computer", computer)):
        for row in latency_rows(report, calls):
            table.add_row(where, *row)
    table.add_section()
    table.add_row("computer / phone", *_ratios(phone, computer, calls))
    return table


def _ratios(phone: LatencyReport, computer: LatencyReport, calls: int) -> tuple[str, ...]:
    """For the first runner that both have, or else for the first runtime of each."""
    ours, theirs = _runners(phone), _runners(computer)
    if not ours or not theirs:
        return ("no runtime on both", "", *("" for _ in STAGES), "")
    name = next((name for name in ours if name in theirs), None)
    first, second = (ours[name], theirs[name]) if name else (next(iter(ours.values())), next(iter(theirs.values())))
    label = name or f"{next(iter(theirs))} / {next(iter(ours))}"
    ratios = (second[stage] / first[stage] for stage in STAGES)
    return (label, "", *(f"{ratio:.2f}" for ratio in ratios), f"{_picture(second, calls) / _picture(first, calls):.2f}")


def _picture(times: Mapping[str, float], calls: int) -> float:
    """Milliseconds for one encoding, all calls of `denoise` and one decoding."""
    return sum(times[stage] * (calls if stage == "denoise" else 1) for stage in STAGES)


def _runners(report: LatencyReport) -> Mapping[str, Mapping[str, float]]:
    """Runner -> stage -> median in ms, without interpreters."""
    return {
        runner.runner: {stage.stage: stage.median_ms for stage in runner.stages}
        for runner in report.runners
        if runner.kind == next(iter(KINDS))
    }


def machine_text(found: Conditions | Machine) -> str:
    """A phone or computer in a line: processor, cores, system and how warm it was."""
    warm = f", thermal state {found.thermal}" if found.thermal else ""
    return f"{found.processor}, {found.cores} cores, {found.system}{warm}"
