"""What `coreai faults` and `onnx faults` show: a line per stage and, if asked for, the table of its modules."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from export.studies.departures import StageDepartures
from export.studies.faults.report import CaseModules
from export.studies.faults.table import module_table


def departures_screen(found: Sequence[StageDepartures], modules: bool) -> list[Table | str]:
    """The parts of the screen, from top to bottom."""
    tables = [module_table(CaseModules(each.stage, each.modules)) for each in found] if modules else []
    return [*tables, *(str(each) for each in found)]
