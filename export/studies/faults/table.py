"""A report as tables for the terminal."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table

from export.studies.faults.modules import first_departure, first_wrong
from export.studies.faults.observe import OperationFaults
from export.studies.faults.report import KINDS, CaseModules, FaultReport
from mobile_diffusion.quoting import quoted

ROWS = 12
"""Operations that the table of a package shows: the most serious ones."""
ALWAYS = ("overflow", "infinite", "nan", "saturated", "inside")
"""Faults that put an operation into the table even if only few elements have them."""
NOTED = 0.02
"""Share of its elements from which any other fault puts an operation into the table."""


def fault_screen(report: FaultReport, modules: bool) -> list[RenderableType]:
    """All of a report; with `modules`, also the table of all modules for the first input."""
    cases = report.against_pytorch[:1] if modules else ()
    return [*fault_lines(report), fault_table(report), distance_table(report), *map(module_table, cases)]


def fault_table(report: FaultReport) -> Table:
    """The most serious operations, in the program's order, with elements by fault; the worst over all inputs."""
    rows = shown(report)
    kinds = [kind for kind in KINDS if any(getattr(each.counts, kind) for each in rows)]
    table = Table(expand=True)
    for column in ("operation", "kind", "module", "largest", "at"):
        table.add_column(column, justify="right" if column == "largest" else "left", overflow="fold")
    for kind in kinds:
        table.add_column(kind, justify="right")
    for each in rows:
        counts = [share(getattr(each.counts, kind), each.counts.elements) for kind in kinds]
        largest = f"{each.counts.highest:.4g}"
        table.add_row(each.name, each.operation, each.module or "", largest, each.case, *counts)
    return table


def fault_lines(report: FaultReport) -> tuple[str, ...]:
    """What was examined, how many elements have each fault, and how many operations the table shows."""
    totals = ", ".join(f"{kind} {report.total(kind)}" for kind in KINDS)
    return (
        f"{report.package}, {report.precision}: {len(report.operations)} operations, {len(report.cases)} inputs",
        f"elements: {totals}",
        f"worth a look: {len(shown(report)) or 'none'}",
    )


def shown(report: FaultReport) -> list[OperationFaults]:
    """The most serious operations, in the program's order."""
    worth = [each for each in report.operations if any(noted(each, kind) for kind in KINDS)]
    gravest = sorted(worth, key=lambda each: [-parts(each, kind) for kind in KINDS])[:ROWS]
    return sorted(gravest, key=lambda each: each.position)


def noted(each: OperationFaults, kind: str) -> bool:
    """Whether enough elements have a fault; a minor fault counts only if its error reaches an output."""
    return parts(each, kind) > (0 if kind in ALWAYS else NOTED if each.leaves else 1)


def parts(each: OperationFaults, kind: str) -> float:
    """Share of an operation's elements that have a fault."""
    return getattr(each.counts, kind) / max(each.counts.elements, 1)


def share(count: int, elements: int) -> str:
    """Such as "12 (3.1%)"; "" for zero."""
    return f"{count} ({100 * count / elements:.2g}%)" if count else ""


def distance_table(report: FaultReport) -> Table:
    """One row per input: the output compared with float32, and where the program departs from float32 and PyTorch."""
    table = Table(title=f"where the ratio falls below {report.bound_db:g} dB", title_justify="left")
    for column in ("input", "output", "first operation below", "of module", "first module below", "wrong from"):
        table.add_column(column, overflow="fold")
    pytorch = {each.case: each for each in report.against_pytorch}
    for case in report.against_float32:
        first = case.first
        place = f"{first.name} ({first.snr_db:.1f} dB)" if first else "none"
        modules = departures(pytorch.get(case.case), report.bound_db)
        table.add_row(case.case, f"{case.output_db:.1f} dB", place, (first and first.module) or "", *modules)
    return table


def departures(case: CaseModules | None, bound_db: float) -> tuple[str, str]:
    """The module where rounding makes the program depart from PyTorch, and the one where the graph becomes wrong."""
    if case is None:
        return "no checkpoint", ""
    departure, wrong = first_departure(case.modules, bound_db), first_wrong(case.modules, bound_db)
    return (
        f"{departure.module} ({departure.snr_db:.1f} dB)" if departure else f"none of {len(case.modules)}",
        f"{wrong.module} ({wrong.float32_db:.1f} dB)" if wrong else "none",
    )


def module_table(case: CaseModules) -> Table:
    """The network along one input, module by module."""
    table = Table(title=f"compared with PyTorch on input {quoted(case.case)}", title_justify="left")
    for column in ("module", "class", "as stored", "in float32"):
        table.add_column(column, justify="right" if " " in column else "left", overflow="fold")
    for row in case.modules:
        table.add_row(row.module or "(all)", row.kind, f"{row.snr_db:.1f} dB", f"{row.float32_db:.1f} dB")
    return table
