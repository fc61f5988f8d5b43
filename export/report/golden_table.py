"""A table of a phone's distances from PyTorch, per compute unit, next to those of this computer at export."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from export.bundle.manifest_parts import ParityEntry
from export.device.golden_record import METRICS, GoldenRecord, Unit
from export.report.device_report import machine_text
from mobile_diffusion.decibels import db_text


def golden_table(record: GoldenRecord, computer: Sequence[ParityEntry]) -> Table:
    """A row per check and runtime: the limit, the computer's worst ratio, and each unit's; misses are marked."""
    caption = f"phone: {machine_text(record.conditions)}"
    table = Table(title="Worst distance from PyTorch in dB, of all golden drawings", caption=caption)
    for name in ("check", "limit", "computer", *(unit.name for unit in record.units)):
        table.add_column(name, justify="left" if name == "check" else "right")
    tokens = [_tokens(unit) for unit in record.units]
    table.add_row("tokens", "", "same", *tokens)
    for runtime in dict.fromkeys(unit.runtime for unit in record.units):
        units = [unit if unit.runtime == runtime else None for unit in record.units]
        for entry in computer:
            if entry.runtime == runtime and entry.metric in METRICS and _made(entry.check, units):
                cells = [_cell(unit, entry) for unit in units]
                label = entry.check if len({unit.runtime for unit in record.units}) == 1 else f"{runtime} {entry.check}"
                table.add_row(label, db_text(entry.limit), db_text(entry.worst), *cells)
    return table


def golden_lines(record: GoldenRecord, passed: Sequence[str]) -> list[str]:
    """What follows: why a unit did not run, and which the app draws with."""
    lines = [f"{unit.name}: did not run: {unit.error}" for unit in record.units if unit.error]
    if not passed:
        return [*lines, "no unit of this phone keeps every limit: do not ship this bundle to it; try another precision"]
    return [*lines, f"the app draws with {passed[0]}; {len(passed)} of {len(record.units)} units keep every limit"]


def _made(check: str, units: Sequence[Unit | None]) -> bool:
    return any(check in unit.worst() for unit in units if unit is not None)


def _tokens(unit: Unit) -> str:
    same = [check.passed for check in unit.checks if check.check == "tokens"]
    return "" if not same else "same" if all(same) else "others, missed"


def _cell(unit: Unit | None, entry: ParityEntry) -> str:
    value = math.nan if unit is None else unit.worst().get(entry.check)
    if unit is None or value is None:
        return ""
    return db_text(value) if value >= entry.limit else f"{db_text(value)}, missed"
