"""The contents of `measured.json`: one Mac, one bundle, every compute unit.

Read strictly: unknown, missing and wrongly typed fields are refused, and so is a record that claims to be verified
although something in it failed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from export.coreml.options import COMPUTE_UNITS
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.errors import BundleError, ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.strict_json import parse_json

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
    """The bundle that was measured."""

    name: str
    """Name of the model."""
    manifest_sha256: str
    """Hash of its manifest.json, which holds the hash of every other file."""


@dataclass(frozen=True)
class Compilation:
    """The compilation of a package to `.mlmodelc`, which Core ML loads."""

    stage: str
    milliseconds: float | None
    problem: str
    """Why it failed; "" on success."""


@dataclass(frozen=True)
class PlannedOperation:
    """Where Core ML plans to run an operation."""

    name: str
    """Name of its first result."""
    operator: str
    device: str
    """The preferred device: "CPU", "GPU" or "Neural Engine"."""
    supported: tuple[str, ...]
    """All devices that could run it."""
    cost: float | None
    """Core ML's estimate, 0 to 1; 1 is the whole program."""


@dataclass(frozen=True)
class StageMeasured:
    """One stage on one compute unit; after a problem some figures are None."""

    stage: str
    load_ms: float | None
    """Time to load the compiled program; Core ML specialises it for the device, or finds it in its cache."""
    first_ms: float | None
    """Time of the first call."""
    median_ms: float | None
    """Median of later calls; the quartiles are of the same calls."""
    first_quartile_ms: float | None
    third_quartile_ms: float | None
    runs: int
    interpreter_db: float | None
    """SNR of the output compared with the interpreter's output for the same input, in dB; 300 if equal."""
    plan: tuple[PlannedOperation, ...]
    """All operations except constants."""
    plan_problem: str
    """Why there is no plan, which needs macOS 14.4; "" if there is one."""
    problem: str
    """What failed; "" if nothing did."""


@dataclass(frozen=True)
class CheckMeasured:
    """The worst distance from the golden vectors in one check."""

    check: str
    metric: str
    worst: float | None
    """None for NaN."""
    limit: float
    passed: bool


@dataclass(frozen=True)
class UnitMeasured:
    """One choice of compute units."""

    compute_units: str
    stages: tuple[StageMeasured, ...]
    checks: tuple[CheckMeasured, ...]
    problem: str
    """Why there are no checks; "" if there are."""

    def __post_init__(self) -> None:
        if self.compute_units not in COMPUTE_UNITS:
            raise ConfigError(f"compute_units: expected one of {COMPUTE_UNITS}, got {quoted(self.compute_units)}")

    @property
    def passed(self) -> bool:
        """Whether every stage ran, and every check was made and passed."""
        ran = bool(self.stages) and not any(stage.problem for stage in self.stages)
        return ran and not self.problem and bool(self.checks) and all(check.passed for check in self.checks)


@dataclass(frozen=True)
class MacMeasurements:
    """The contents of `measured.json`."""

    format: str
    schema_version: int
    verified: bool
    """Whether Core ML ran every stage on every requested compute unit, and all gates passed."""
    system: System
    bundle: BundleIdentity
    compilations: tuple[Compilation, ...]
    units: tuple[UnitMeasured, ...]

    def __post_init__(self) -> None:
        if (self.format, self.schema_version) != (FORMAT, SCHEMA_VERSION):
            got = f"{quoted(self.format)} of version {self.schema_version}"
            raise ConfigError(f"expected {FORMAT!r} of version {SCHEMA_VERSION}, got {got}")
        if self.verified != is_verified(self.units):
            raise ConfigError(f"verified: expected what the checks say, got {str(self.verified).lower()}")


def is_verified(units: tuple[UnitMeasured, ...]) -> bool:
    """Whether everything that was requested ran and passed."""
    return bool(units) and all(unit.passed for unit in units)


def write_measured(measured: MacMeasurements, path: Path) -> None:
    """Write `measured.json` in one step."""
    write_bytes((json.dumps(to_dict(measured), indent=1, allow_nan=False) + "\n").encode(), path)


def read_measured(path: Path) -> MacMeasurements:
    """Read what `write_measured` wrote; raises `BundleError` for anything else."""
    try:
        return from_dict(MacMeasurements, parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ConfigError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BundleError(f"{path}: expected the file of `mobile-diffusion coreml measure`, got {reason}") from None
