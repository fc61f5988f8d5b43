"""What `measured.json` holds: one Mac, one bundle, every compute unit.

Read strictly: a field that is unknown, missing or of another type is refused, and so is a record that calls itself
verified though something in it failed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from export.coreml.options import COMPUTE_UNITS
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.errors import BundleError, ConfigError
from mobile_diffusion.staging import write_bytes

FORMAT = "mobile-diffusion-measured"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class System:
    """The Mac."""

    chip: str
    model: str
    memory_bytes: int
    macos: str
    coremltools: str
    python: str


@dataclass(frozen=True)
class BundleIdentity:
    """Which bundle was measured."""

    name: str
    """Of the model."""
    manifest_sha256: str
    """Of its manifest.json, which names the hash of every other file."""


@dataclass(frozen=True)
class Compilation:
    """A package made into what Core ML loads, `.mlmodelc`."""

    stage: str
    milliseconds: float | None
    problem: str
    """Why there is none; "" when there is."""


@dataclass(frozen=True)
class PlannedOperation:
    """Where Core ML intends to run an operation."""

    name: str
    """Of its first result."""
    operator: str
    device: str
    """The one that Core ML prefers: "CPU", "GPU" or "Neural Engine"."""
    supported: tuple[str, ...]
    """All that could run it."""
    cost: float | None
    """Core ML's estimate: a part of the whole program, 0 to 1."""


@dataclass(frozen=True)
class StageMeasured:
    """One stage on one compute unit; where there is a problem, some figures are None."""

    stage: str
    load_ms: float | None
    """Until the compiled program is ready: Core ML specialises it for the device meanwhile, or finds that kept."""
    first_ms: float | None
    """The first call."""
    median_ms: float | None
    """Of later calls, as are the quartiles."""
    first_quartile_ms: float | None
    third_quartile_ms: float | None
    runs: int
    interpreter_db: float | None
    """Signal to noise ratio of the output against the interpreter's, for the same input; 300 when equal."""
    plan: tuple[PlannedOperation, ...]
    """Constants left out."""
    plan_problem: str
    """Why there is no plan, which needs macOS 14.4; "" when there is."""
    problem: str
    """What failed; "" when nothing did."""


@dataclass(frozen=True)
class CheckMeasured:
    """The worst distance from the golden vectors in one check."""

    check: str
    metric: str
    worst: float | None
    """None where it is not a number."""
    limit: float
    passed: bool


@dataclass(frozen=True)
class UnitMeasured:
    """One choice of compute units."""

    compute_units: str
    stages: tuple[StageMeasured, ...]
    checks: tuple[CheckMeasured, ...]
    problem: str
    """Why there are no checks; "" when there are."""

    def __post_init__(self) -> None:
        if self.compute_units not in COMPUTE_UNITS:
            raise ConfigError(f"compute_units: expected one of {COMPUTE_UNITS}, got {self.compute_units!r}")

    @property
    def passed(self) -> bool:
        """Whether every stage ran and every check was made and passed."""
        ran = bool(self.stages) and not any(stage.problem for stage in self.stages)
        return ran and not self.problem and bool(self.checks) and all(check.passed for check in self.checks)


@dataclass(frozen=True)
class MacMeasurements:
    """All of `measured.json`."""

    format: str
    schema_version: int
    verified: bool
    """Whether Core ML ran every stage on every compute unit that was asked for and all gates passed."""
    system: System
    bundle: BundleIdentity
    compilations: tuple[Compilation, ...]
    units: tuple[UnitMeasured, ...]

    def __post_init__(self) -> None:
        if (self.format, self.schema_version) != (FORMAT, SCHEMA_VERSION):
            got = f"{self.format!r} of version {self.schema_version}"
            raise ConfigError(f"expected {FORMAT!r} of version {SCHEMA_VERSION}, got {got}")
        if self.verified != is_verified(self.units):
            raise ConfigError(f"verified: expected what the checks say, got {str(self.verified).lower()}")


def is_verified(units: tuple[UnitMeasured, ...]) -> bool:
    """Whether everything that was asked for ran and passed."""
    return bool(units) and all(unit.passed for unit in units)


def write_measured(measured: MacMeasurements, path: Path) -> None:
    """Write `measured.json` in one step."""
    write_bytes((json.dumps(to_dict(measured), indent=1, allow_nan=False) + "\n").encode(), path)


def read_measured(path: Path) -> MacMeasurements:
    """Read what `write_measured` wrote; raises `BundleError` for anything else."""
    try:
        return from_dict(MacMeasurements, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BundleError(f"{path}: expected the file that `coreml measure` wrote on a Mac, got {reason}") from None
