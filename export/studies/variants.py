"""One model as Core ML packages in several layouts and compressions, side by side.

Every variant's packages are written, opened again, run over whole trajectories by the interpreter, and compared with
PyTorch with its original weights.  Overflows are counted while they run.  No gate is checked.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from export.compression.recipes import NONE
from export.coreml import lower as lowering
from export.coreml.compress.stage import compress_stage
from export.coreml.interpret import Program
from export.coreml.options import CoreMLOptions
from export.coreml.package_archive import CoreMLPackage
from export.coreml.torch_sources import read_sources
from export.job.plan import plan_export
from export.job.reference import open_reference, record_cases
from export.parity.measure import measure
from export.parity.trajectories import CASES, Case, Trajectory
from export.runners.coreml_interpreter import CoreMLInterpreterRunner
from export.signatures import STAGES
from export.stages import build_stage
from export.studies.faults.observe import FaultObserver
from export.studies.faults.roundoff import operand_roundoffs
from export.targets import find_target
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.decibels import db_text, worst
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.schedule import step_table
from mobile_diffusion.units import MB

CHECKS = ("encode_text", "prediction", "decode_image", "free_running", "picture")
"""Columns of ratios: the stages, the network's output at one step, the whole trajectory, the picture."""
COLUMNS = ("model", "weights", "layout", "size", *(check.replace("_", " ") for check in CHECKS), "overflows")


@dataclass(frozen=True)
class VariantRow:
    """One variant of one model."""

    model: str
    compression: str
    layout: str
    size_bytes: int
    """Total of the weight files of its packages."""
    worst_db: Mapping[str, float]
    """Check of CHECKS -> the worst ratio over all prompts and steps: SNR; PSNR for pictures."""
    overflows: int
    """Results that were finite before rounding and are infinite as stored, over all runs."""


def measure_variants(
    source: AnyModel,
    variants: Sequence[CoreMLOptions],
    work: Path,
    cases: Sequence[Case] = CASES,
    threads: int = 2,
    progress: Progress = silent,
) -> list[VariantRow]:
    """Return one row per variant; writes packages to `work`, one layout and one variant at a time."""
    plan = plan_export(source.config, find_target("ios"), depth="trajectory", threads=threads)
    settings = DrawSettings.of(source.config)
    progress("drawing with PyTorch", 0.0)
    trajectories = record_cases(open_reference(source, plan), source.tokenizer, settings, cases, plan, source.adapters)
    rows = []
    for number, options in enumerate(variants):
        progress(f"{source.config.name}: {options.compression_name}, {options.layout}", number / len(variants))
        folder = written(source, options, work)
        runner, observers = watched(folder, threads)
        worst = worst_of(runner, trajectories, settings, source)
        overflows = sum(each.counts.overflow for one in observers.values() for each in one.found.values())
        size = sum(file.stat().st_size for file in folder.rglob("*.bin"))
        name, compression = source.config.name, options.compression_name
        rows.append(VariantRow(name, compression, options.layout, size, worst, overflows))
        shutil.rmtree(folder)
    return rows


def written(source: AnyModel, options: CoreMLOptions, work: Path) -> Path:
    """Write the variant's packages to a folder; each layout is lowered once, then compressed."""
    whole, folder = work / f"{options.deployment_target}-{options.layout}", work / "variant"
    if not whole.exists():
        whole.mkdir(parents=True)
        for stage in STAGES:
            lowering.lower(build_stage(source, stage), whole, options)
    shutil.copytree(whole, folder)
    for stage in STAGES if options.compression != NONE else ():
        compress_stage(folder / f"{stage}.mlpackage", stage, options.compression)
    return folder


def watched(folder: Path, threads: int) -> tuple[CoreMLInterpreterRunner, Mapping[str, FaultObserver]]:
    """A runner of a folder's packages, and the observers that count the faults of each stage while it runs."""
    paths = {stage: folder / f"{stage}.mlpackage" for stage in STAGES}
    packages = {stage: CoreMLPackage.open(path) for stage, path in paths.items()}
    observers = {
        stage: FaultObserver(read_sources(package.spec), operand_roundoffs(package))
        for stage, package in packages.items()
    }
    programs = {stage: Program.open(path) for stage, path in paths.items()}
    return CoreMLInterpreterRunner(programs, threads, observers), observers


def worst_of(
    runner: CoreMLInterpreterRunner, trajectories: Sequence[Trajectory], settings: DrawSettings, source: AnyModel
) -> dict[str, float]:
    """The worst ratio of every check of CHECKS, in dB; NaN if an output had a wrong shape or was not finite."""
    found: dict[str, list[float]] = {check: [] for check in CHECKS}
    for trajectory in trajectories:
        measurements, _ = measure(runner.name, runner, trajectory, settings, step_table(source.config.schedule))
        for each in measurements:
            metric = "psnr_db" if each.check == "picture" else "snr_db"
            if each.check in found:
                found[each.check].append(float(getattr(each.metrics, metric, float("nan"))))
    return {check: worst(values) for check, values in found.items()}


def variants_table(rows: Sequence[VariantRow]) -> Table:
    """The rows for people."""
    table = Table(title="Core ML packages compared with PyTorch (worst over all prompts and steps, interpreted)")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("model", "weights", "layout") else "right")
    for row in rows:
        table.add_row(*cells(row))
    return table


def cells(row: VariantRow) -> tuple[str, ...]:
    """A row as text."""
    ratios = (db_text(row.worst_db[check]) for check in CHECKS)
    return (row.model, row.compression, row.layout, f"{row.size_bytes / MB:.1f} MB", *ratios, str(row.overflows))
