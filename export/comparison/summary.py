"""What a bundle amounts to, in figures: sizes, parity, and latency as a ratio to PyTorch on the same machine.

A summary is what `verify --write-baseline` writes and what `verify --baseline` and `compare` read.  Its JSON schema is
summary.schema.json.  Times themselves are not kept, because a baseline may come from another machine.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.bundle.bundle import Bundle
from export.job.page import LATENCY_FILE
from export.latency.reading import read_latency
from export.runtime import graded
from export.targets import TORCH
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.errors import BundleError, ConfigError
from mobile_diffusion.quoting import shortened
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.strict_json import parse_json

SCHEMA_VERSION = 1
RANDOM = ".mlpackage/Manifest.json"
"""End of the path of a file in which earlier versions wrote random identifiers, new in every export."""
RUNTIME = "runtime"
"""`RunnerLatency.kind` of what a phone could run."""
SCHEMA_PATH = Path(__file__).with_name("summary.schema.json")


@dataclass(frozen=True)
class ProgramSummary:
    """One program."""

    runtime: str
    stage: str
    grade: str
    """Precision and compression."""
    bytes: int
    sha256: str
    """Hash of its files' hashes, in the order of their paths, without the random names of a Core ML package."""


@dataclass(frozen=True)
class ParitySummary:
    """Worst value of one check of one runtime compared with PyTorch."""

    runtime: str
    check: str
    metric: str
    worst: float


@dataclass(frozen=True)
class LatencySummary:
    """Median time of a stage, divided by PyTorch's on the same machine at the same time."""

    runtime: str
    stage: str
    ratio: float


@dataclass(frozen=True)
class Summary:
    """The figures of one bundle."""

    schema_version: int
    target: str
    model: str
    bytes: int
    """All files but the manifest."""
    programs: tuple[ProgramSummary, ...]
    parity: tuple[ParitySummary, ...]
    latency: tuple[LatencySummary, ...]

    def __post_init__(self) -> None:
        numbers = [*(row.worst for row in self.parity), *(row.ratio for row in self.latency)]
        if self.schema_version != SCHEMA_VERSION:
            raise ConfigError(f"schema_version: expected {SCHEMA_VERSION}, got {self.schema_version}")
        if not all(map(math.isfinite, numbers)):
            raise ConfigError("expected finite figures, got NaN or infinity")


def summarise_bundle(bundle: Bundle) -> Summary:
    """The figures of a bundle, from its manifest and its latency.json."""
    manifest = bundle.manifest
    return Summary(
        SCHEMA_VERSION,
        manifest.target,
        manifest.model.name,
        sum(entry.size for entry in manifest.files),
        tuple(_programs(bundle)),
        tuple(ParitySummary(row.runtime, row.check, row.metric, row.worst) for row in manifest.parity),
        tuple(_latency(bundle)),
    )


def write_summary(path: Path, summary: Summary) -> None:
    """Write a baseline, whole or not at all."""
    write_bytes(f"{json.dumps(to_dict(summary), indent=1, allow_nan=False)}\n".encode(), path)


def read_summary(path: Path) -> Summary:
    """Read a baseline; raises `BundleError` if it is none."""
    try:
        return from_dict(Summary, parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ConfigError) as error:
        got = shortened(f"{type(error).__name__}: {error}")
        fix = "write one with `mobile-diffusion verify --write-baseline`"
        raise BundleError(f"{path}: expected a baseline, got {got}; {fix}") from None


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a summary."""
    return json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))


def _programs(bundle: Bundle) -> Iterator[ProgramSummary]:
    for runtime in bundle.manifest.runtimes:
        for artifact in runtime.artifacts:
            files = bundle.files_of(artifact.path)
            lines = [f"{each.path} {each.sha256}\n" for each in files if not each.path.endswith(RANDOM)]
            digest = hashlib.sha256("".join(lines).encode()).hexdigest()
            grade = graded(artifact.precision, artifact.compression)
            yield ProgramSummary(runtime.name, artifact.stage, grade, sum(each.size for each in files), digest)


def _latency(bundle: Bundle) -> Iterator[LatencySummary]:
    report = read_latency(bundle.path / LATENCY_FILE)
    timed = [runner for runner in report.runners if runner.kind == RUNTIME]  # an interpreter's time says nothing
    times = {runner.runner: {stage.stage: stage.median_ms for stage in runner.stages} for runner in timed}
    reference = times.get(TORCH.name, {})
    for runner, stages in times.items():
        for stage, median in stages.items():
            if runner != TORCH.name and reference.get(stage):
                yield LatencySummary(runner, stage, median / reference[stage])
