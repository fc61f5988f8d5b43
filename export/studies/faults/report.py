"""The faults found in one package, as data for JSON, tables and plots."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from export.studies.faults.lockstep import Distance
from export.studies.faults.modules import ModuleDistance, first_departure, first_wrong
from export.studies.faults.observe import OperationFaults

KINDS = ("overflow", "infinite", "nan", "underflow", "subnormal", "saturated", "cancelled", "inside")
"""The faults of `Counts`, the most serious first."""


@dataclass(frozen=True)
class CaseDistances:
    """The distance between the program as stored and the program in float32, on one input."""

    case: str
    snr_db: tuple[float, ...]
    """One ratio per operation."""
    first: Distance | None
    """The first operation whose departure from float32 reaches an output."""

    @property
    def output_db(self) -> float:
        """The ratio of the last operation."""
        return self.snr_db[-1] if self.snr_db else math.nan


@dataclass(frozen=True)
class CaseModules:
    """The distance between the program and the PyTorch module, on one input."""

    case: str
    modules: tuple[ModuleDistance, ...]


@dataclass(frozen=True)
class FaultReport:
    """Everything found in one package."""

    package: str
    precision: str
    """Arithmetic of the interpreter: "as-stored", or "fp16-accumulate", the worst a device may do."""
    bound_db: float
    """Ratio below which a result has departed from the reference."""
    cases: tuple[str, ...]
    """Names of the inputs."""
    operations: tuple[OperationFaults, ...]
    """Every arithmetic operation, in order."""
    against_float32: tuple[CaseDistances, ...]
    against_pytorch: tuple[CaseModules, ...]
    """Empty without a checkpoint."""

    @property
    def broken(self) -> bool:
        """Whether any result overflows, divides by zero or becomes NaN."""
        return any(each.counts.broken for each in self.operations)

    def total(self, kind: str) -> int:
        """Elements with one fault, summed over all operations, each on its worst input."""
        return sum(getattr(each.counts, kind) for each in self.operations)

    def with_fault(self, kind: str) -> tuple[OperationFaults, ...]:
        """The operations with one fault, in order."""
        return tuple(each for each in self.operations if getattr(each.counts, kind))

    def first_operation(self) -> tuple[str, Distance] | None:
        """Input and operation at which the program first departs from float32, the earliest over all inputs."""
        left = [(each.case, each.first) for each in self.against_float32 if each.first is not None]
        return min(left, key=lambda each: each[1].position, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinities and NaN become strings."""
        first = self.first_operation()
        return {
            "package": self.package,
            "precision": self.precision,
            "bound_db": self.bound_db,
            "cases": list(self.cases),
            "broken": self.broken,
            "totals": {kind: self.total(kind) for kind in KINDS},
            "first_operation": first and {"case": first[0], **plain(dataclasses.asdict(first[1]))},
            "operations": [plain(dataclasses.asdict(each)) for each in self.operations],
            "against_float32": [case_summary(each) for each in self.against_float32],
            "against_pytorch": [module_summary(each, self.bound_db) for each in self.against_pytorch],
        }


def case_summary(case: CaseDistances) -> dict[str, Any]:
    """The ratio along the program, and the first operation that departs from float32."""
    return {
        "case": case.case,
        "output_db": plain(case.output_db),
        "first": case.first and plain(dataclasses.asdict(case.first)),
        "snr_db": [plain(round(ratio, 2)) for ratio in case.snr_db],
    }


def module_summary(case: CaseModules, bound_db: float) -> dict[str, Any]:
    """Every module, the first that departs by rounding, and the first that is wrong in float32."""
    departure, wrong = first_departure(case.modules, bound_db), first_wrong(case.modules, bound_db)
    return {
        "case": case.case,
        "first": departure and departure.module,
        "wrong": wrong and wrong.module,
        "modules": [plain(dataclasses.asdict(each)) for each in case.modules],
    }


def plain(value: Any) -> Any:
    """A value with infinities and NaN as strings."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
