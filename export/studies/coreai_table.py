"""What `coreai faults` shows: a line per stage and, if asked for, the table of its modules."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from export.studies.coreai_faults import StageDepartures
from export.studies.faults.report import CaseModules
from export.studies.faults.table import module_table
from mobile_diffusion.decibels import db_text


def departures_screen(found: Sequence[StageDepartures], modules: bool) -> list[Table | str]:
    """The parts of the screen, from top to bottom."""
    tables = [module_table(CaseModules(each.stage, each.modules)) for each in found] if modules else []
    return [*tables, *(verdict(each) for each in found)]


def verdict(found: StageDepartures) -> str:
    """One line about a stage."""
    first = found.first
    if first is None:
        return f"{found.stage}: all {len(found.modules)} modules within {found.bound_db:g} dB of PyTorch"
    return (
        f"{found.stage}: departs first in {first.module} ({first.kind}): {db_text(first.snr_db)} from PyTorch, "
        f"expected {found.bound_db:g} dB"
    )
