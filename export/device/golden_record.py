"""What the app sends back after it has replayed a bundle's golden drawings: every distance, per compute unit.

The distances of a unit have the form that the C++ runner's `--golden` prints.  `golden_record.schema.json` describes
the JSON of `mobile-diffusion device verify`, in which this record is beside the figures of this computer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.bundle.manifest_parts import ParityEntry
from mobile_diffusion.config_json import from_dict
from mobile_diffusion.decibels import worst
from mobile_diffusion.errors import BundleError, MobileDiffusionError
from mobile_diffusion.quoting import shortened
from mobile_diffusion.strict_json import parse_json

SCHEMA_VERSION = 1
METRICS = ("snr_db", "psnr_db")
"""Metrics of the manifest that an app computes, too."""
SCHEMA_PATH = Path(__file__).with_name("golden_record.schema.json")


@dataclass(frozen=True)
class PhoneCheck:
    """One comparison of a stage, a step or a picture."""

    check: str
    """ "tokens", a stage, "free_running" or "picture"."""
    passed: bool
    step: int | None = None
    snr_db: float | None = None
    psnr_db: float | None = None
    """Of pictures, in place of `snr_db`."""
    max_abs: float | None = None
    limit: float | None = None
    """The least ratio that passes, as the app read it; `GoldenRecord.passing` asks the bundle here."""

    @property
    def db(self) -> float | None:
        """The ratio; NaN where the app could not compute one, None for tokens."""
        if self.check == "tokens":
            return None
        value = self.psnr_db if self.check == "picture" else self.snr_db
        return math.nan if value is None else value


@dataclass(frozen=True)
class PhoneCase:
    """The comparisons of one golden drawing."""

    prompt: str
    seed: str
    checks: tuple[PhoneCheck, ...]
    passed: bool


@dataclass(frozen=True)
class UnitReport:
    """All comparisons on one unit."""

    model: str
    precision: str
    depth: str
    cases: tuple[PhoneCase, ...]
    passed: bool


@dataclass(frozen=True)
class Unit:
    """One way in which the phone can run the bundle's programs."""

    runtime: str
    unit: str
    """ "cpu", "gpu", "neural_engine" or "all"."""
    version: str
    report: UnitReport | None
    error: str
    """The app's line when the programs did not run on this unit; "" otherwise."""

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"{self.runtime} {self.unit}"

    def keeps(self, limits: Mapping[str, float]) -> bool:
        """Whether every comparison reached its limit in dB; the app's own verdict is not asked."""
        checks = self.checks
        return bool(checks) and all(_kept(check, limits.get(check.check)) for check in checks)

    @property
    def checks(self) -> list[PhoneCheck]:
        """The comparisons of all drawings."""
        return [check for case in self.report.cases for check in case.checks] if self.report else []

    def worst(self) -> Mapping[str, float]:
        """Check -> its worst ratio in dB, NaN before all; in the order in which they were made."""
        found: dict[str, list[float]] = {}
        for check in self.checks:
            if check.db is not None:
                found.setdefault(check.check, []).append(check.db)
        return {name: worst(values) for name, values in found.items()}


@dataclass(frozen=True)
class Machine:
    """The phone."""

    processor: str
    cores: int
    system: str
    load: float | None
    thermal: str = ""
    """How warm it was, in the system's word; "" where it does not say."""


@dataclass(frozen=True)
class GoldenRecord:
    """The comparisons on every unit of a phone."""

    schema_version: int
    conditions: Machine
    units: tuple[Unit, ...]

    def passing(self, parity: Iterable[ParityEntry]) -> list[str]:
        """The units that keep every limit of a bundle's manifest, the app's preferred one first."""
        limits: dict[str, dict[str, float]] = {}
        for entry in parity:
            if entry.metric in METRICS:
                limits.setdefault(entry.runtime, {})[entry.check] = entry.limit
        return [unit.name for unit in self.units if unit.keeps(limits.get(unit.runtime, {}))]


def parse_record(text: str, source: str) -> GoldenRecord:
    """The record in a text; errors name `source`."""
    try:
        record = from_dict(GoldenRecord, parse_json(text))
    except (ValueError, MobileDiffusionError) as error:
        got = shortened(f"{type(error).__name__}: {error}")
        raise BundleError(f"{source}: expected the distances of golden drawings, got {got}; update the app") from None
    if record.schema_version != SCHEMA_VERSION or not record.units:
        got = f"version {record.schema_version} with {len(record.units)} units"
        raise BundleError(
            f"{source}: expected version {SCHEMA_VERSION} with a unit at least, got {got}; update the app"
        )
    return record


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of `mobile-diffusion device verify --json`."""
    values: dict[str, Any] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    return values


def _kept(check: PhoneCheck, limit: float | None) -> bool:
    if check.db is None:
        return check.passed
    return check.db >= limit if limit is not None else math.isfinite(check.db)
