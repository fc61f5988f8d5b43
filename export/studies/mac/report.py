"""Tables of `measured.json`, beside what was measured where the bundle was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from export.bundle.bundle import Bundle
from export.studies.mac.measure import identity
from export.studies.mac.plan import shares
from export.studies.mac.record import MacMeasurements, StageMeasured, UnitMeasured
from export.targets import COREML
from mobile_diffusion.errors import BundleError
from mobile_diffusion.strict_json import parse_json

INTERPRETER = "coreml-interpreter"
GIGA = 1 << 30
TIME_COLUMNS = ("stage", "units", "load", "first call", "median ± IQR", "SNR", "planned operations", "interpreter here")


@dataclass(frozen=True)
class HostFigures:
    """The figures in the bundle, measured where it was exported."""

    processor: str
    medians: Mapping[str, float]
    """Milliseconds of the interpreter by stage."""
    worst: Mapping[str, float | None]
    """Worst ratio of the interpreted programs by check, in dB."""


def read_host(bundle: Bundle) -> HostFigures:
    """The figures in a bundle; raises `BundleError` when they are missing."""
    try:
        latency = parse_json((bundle.path / "latency.json").read_text(encoding="utf-8"))
        parity = parse_json((bundle.path / "parity.json").read_text(encoding="utf-8"))
        stages = next(runner["stages"] for runner in latency["runners"] if runner["runner"] == INTERPRETER)
        medians = {stage["stage"]: float(stage["median_ms"]) for stage in stages}
        worst = {row["check"]: row["worst"] for row in parity["summary"] if row["runtime"] == COREML.name}
        return HostFigures(str(latency["conditions"]["processor"]), medians, worst)
    except (OSError, ValueError, LookupError, TypeError, StopIteration) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BundleError(f"{bundle.path}: expected latency.json and parity.json, got {reason}; export again") from None


def check_bundle(measured: MacMeasurements, bundle: Bundle) -> None:
    """Raise `BundleError` unless the measurements are of this bundle."""
    wanted, found = measured.bundle, identity(bundle)
    if wanted != found:
        raise BundleError(
            f"{bundle.path}: expected the bundle that was measured ({wanted.name}, manifest "
            f"{wanted.manifest_sha256[:12]}...), got {found.name}, {found.manifest_sha256[:12]}...; give that one"
        )


def times_table(measured: MacMeasurements, host: HostFigures) -> Table:
    """One row per stage and compute unit."""
    table = Table(title=f"Core ML on {measured.system.chip}, in ms", caption=conditions(measured, host))
    for column in TIME_COLUMNS:
        table.add_column(column, justify="left" if column in ("stage", "units", "planned operations") else "right")
    for unit in measured.units:
        for stage in unit.stages:
            table.add_row(*times_row(unit, stage, host))
        table.add_section()
    return table


def times_row(unit: UnitMeasured, stage: StageMeasured, host: HostFigures) -> tuple[str, ...]:
    """One stage on one compute unit as text."""
    median, low, high = stage.median_ms, stage.first_quartile_ms, stage.third_quartile_ms
    spread = "" if median is None or low is None or high is None else f"{median:.1f} ± {high - low:.1f}"
    return (
        stage.stage.replace("_", " "),
        unit.compute_units,
        shown(stage.load_ms, ""),
        shown(stage.first_ms, ""),
        spread or "FAILED",
        shown(stage.interpreter_db, " dB"),
        stage.problem[:60] or plan_text(stage),
        shown(host.medians.get(stage.stage), ""),
    )


def plan_text(stage: StageMeasured) -> str:
    """Such as "Neural Engine 312 (97 %), CPU 8 (3 %)": operations, and Core ML's estimate of their cost."""
    found = ", ".join(f"{one.device} {one.operations} ({one.cost:.0%})" for one in shares(stage.plan))
    return found or f"no plan: {stage.plan_problem}"[:60]


def parity_table(measured: MacMeasurements, host: HostFigures) -> Table:
    """One row per check, one column per compute unit."""
    table = Table(title="Worst distance from the golden vectors, in dB")
    for column in ("check", "limit", "interpreter here", *(unit.compute_units for unit in measured.units)):
        table.add_column(column, justify="left" if column == "check" else "right")
    for check, limit in check_limits(measured.units).items():
        cells = [verdict(unit, check) for unit in measured.units]
        table.add_row(check.replace("_", " "), f"{limit:g}", shown(host.worst.get(check), ""), *cells)
    return table


def check_limits(units: Sequence[UnitMeasured]) -> dict[str, float]:
    """The limit of every check that was made, in order."""
    return {check.check: check.limit for unit in units for check in unit.checks}


def verdict(unit: UnitMeasured, name: str) -> str:
    """The worst value of a check on a compute unit, and whether it passed."""
    found = next((check for check in unit.checks if check.check == name), None)
    if found is None:
        return "not made"
    return f"{shown(found.worst, '') or 'NaN'} {'ok' if found.passed else 'FAILED'}"


def conditions(measured: MacMeasurements, host: HostFigures) -> str:
    """Where the figures come from, and whether they are verified."""
    mac = measured.system
    compiled = [f"{one.stage} {shown(one.milliseconds, ' ms') or one.problem}" for one in measured.compilations]
    words = "verified: Core ML reproduced the golden vectors on every compute unit"
    return (
        f"{mac.model}, {mac.memory_bytes / GIGA:.0f} GB, macOS {mac.macos}, coremltools {mac.coremltools}; compiling: "
        f"{', '.join(compiled)}; SNR is compared with the interpreter; here: {host.processor}; "
        f"{words if measured.verified else 'UNVERIFIED: something failed; see the other table'}"
    )


def shown(value: float | None, unit: str) -> str:
    """A figure with one decimal; "" for None."""
    return "" if value is None else f"{value:.1f}{unit}"
