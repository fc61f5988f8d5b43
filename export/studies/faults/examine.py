"""Runs packages on provoking inputs: every fault, and where the program departs from its references."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from export.coreml.interpret import Program
from export.coreml.package_archive import CoreMLPackage
from export.coreml.torch_sources import read_sources
from export.studies.faults.graph import readers_of
from export.studies.faults.lockstep import against_float32, handed_on
from export.studies.faults.modules import ModuleValues, against_modules
from export.studies.faults.observe import FaultObserver
from export.studies.faults.provoke import Filling, cases
from export.studies.faults.report import CaseDistances, CaseModules, FaultReport
from export.studies.faults.roundoff import operand_roundoffs
from mobile_diffusion.errors import ExportError
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.quoting import quoted

BOUND_DB = 40.0
"""Ratio that a stage's outputs must reach (export/parity/gates.py); an operation below it needs a look."""
PRECISIONS = ("as-stored", "fp16-accumulate")
"""Arithmetic in which faults can be counted."""


@dataclass(frozen=True)
class Subject:
    """A package to examine, and what is known about it."""

    path: Path
    filling: Filling
    module: nn.Module | None = None
    """The stage's PyTorch module, with the same inputs as the package."""


def examine(
    subject: Subject,
    precision: str = PRECISIONS[0],
    bound_db: float = BOUND_DB,
    progress: Progress = silent,
) -> FaultReport:
    """Run a package on every provoking input, and compare it with float32, and with PyTorch if it is known.

    Raises:
        ExportError: `subject` is not a package, cannot be interpreted, or `precision` is not one of PRECISIONS.
    """
    if precision not in PRECISIONS:
        raise ExportError(f"precision: expected one of {', '.join(PRECISIONS)}, got {quoted(precision)}")
    package, program = CoreMLPackage.open(subject.path), Program.open(subject.path, precision)
    exact = Program.open(subject.path, "float32")
    sources, readers = read_sources(package.spec), readers_of(package.spec)
    filled = dict(cases(subject.filling, program.inputs))
    observer = FaultObserver(sources, operand_roundoffs(package))
    distances, modules, leaving = [], [], set[str]()
    for number, (case, arrays) in enumerate(filled.items()):
        progress(f"{subject.path.stem}: {case}", number / len(filled))
        observer.case = case
        kept = (ModuleValues(sources, halved=True), ModuleValues(sources, halved=False))
        watchers = ((observer,), ()) if subject.module is None else ((observer, kept[0]), (kept[1],))
        found = against_float32(program, exact, arrays, sources, watchers)
        lost = handed_on(found, bound_db, readers)
        leaving |= {each.name for each in lost}
        distances.append(CaseDistances(case, tuple(each.snr_db for each in found), lost[0] if lost else None))
        if subject.module is not None:
            modules.append(CaseModules(case, tuple(against_modules(subject.module, arrays, *kept))))
    progress(f"{subject.path.stem}: examined", 1.0)
    operations = tuple(replace(each, leaves=name in leaving) for name, each in observer.found.items())
    return FaultReport(
        subject.path.stem, precision, bound_db, tuple(filled), operations, tuple(distances), tuple(modules)
    )
