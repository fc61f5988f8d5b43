"""Export one target: lower, write, run what was written, compare with PyTorch, time it, then let it appear.

The order is the promise: parity is measured on the saved programs, from the folder that becomes the bundle,
and a gate that fails leaves no bundle behind.  Progress is told to a callback; nothing is printed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.bundle import Bundle, check_replaceable, open_bundle, write_bundle
from export.describe import describe
from export.latency.measure import LatencyReport, measure_latency
from export.parity.golden import write_golden
from export.parity.report import ParityReport, build_report
from export.parity.trajectories import CASES, Case, Measurement, Trajectory, Update, measure, record
from export.progress import Progress, part_of, silent
from export.report.page import Pictures, write_reports
from export.runners import Runner
from export.runners.torch import TorchRunner
from export.stages import STAGES, build_stages
from export.staging import check_free
from export.targets import Runtime, Target, load_runner, lower
from mobile_diffusion.checkpoint import TOKENIZER_FILE, Model
from mobile_diffusion.errors import ExportError
from mobile_diffusion.schedule import step_table

_LOWERED, _RECORDED, _COMPARED, _TIMED = 0.6, 0.65, 0.9, 0.97
"""Progress at the end of each part; lowering is most of it."""


@dataclass(frozen=True)
class Exported:
    """A finished export."""

    bundle: Bundle
    parity: ParityReport
    latency: LatencyReport


def export_target(
    model: Model,
    target: Target,
    out: Path,
    force: bool = False,
    cases: Sequence[Case] = CASES,
    threads: int = 2,
    progress: Progress = silent,
) -> Exported:
    """Write the bundle of a target to `out`.

    Raises `ExportError` when `out` cannot be used, `ParityError` when a gate fails; either way nothing is
    written.
    """
    check_output(out, model.path, force)
    with write_bundle(
        out, lambda folder, files: describe(model, target, parts.artifacts, parts.parity, files), force
    ) as folder:
        parts = _fill(model, target, folder, cases, threads, progress)
    progress(f"{target.title}: written to {out}", 1.0)
    return Exported(open_bundle(out, verify=False), parts.parity, parts.latency)


def check_output(out: Path, checkpoint: Path | None, force: bool) -> None:
    """Raise `ExportError` when `out` cannot be the output: it exists, or overlaps with the checkpoint."""
    output = out.resolve()
    if checkpoint is not None:
        source = checkpoint.resolve()
        if output == source or source in output.parents or output in source.parents:
            raise ExportError(f"{out}: expected an output apart from the checkpoint {checkpoint}; choose another --out")
    check_free(output, check_replaceable if force else None)


@dataclass(frozen=True)
class _Parts:
    artifacts: dict[str, dict[str, str]]
    parity: ParityReport
    latency: LatencyReport


def _fill(
    model: Model, target: Target, folder: Path, cases: Sequence[Case], threads: int, progress: Progress
) -> _Parts:
    """Everything of a bundle but the manifest."""
    artifacts = _lower_all(model, target, folder, progress)
    runners = [(runtime, load_runner(runtime, folder, artifacts[runtime.name], threads)) for runtime in target.runtimes]
    model.tokenizer.save(folder / TOKENIZER_FILE)
    progress(f"{target.title}: drawing with PyTorch", _LOWERED)
    reference = TorchRunner.from_model(model, threads=threads)
    trajectories = record_cases(reference, model, cases)
    write_golden(folder, trajectories)
    part = part_of(progress, _RECORDED, _COMPARED - _RECORDED)
    parity, pictures = compare_runners(runners, trajectories, update_of(model), part)
    parity.require()
    progress(f"{target.title}: timing", _COMPARED)
    latency = measure_latency([reference, *(runner for _, runner in runners)], trajectories[0])
    progress(f"{target.title}: writing the report", _TIMED)
    write_reports(folder, model.config, target, parity, latency, trajectories, pictures)
    return _Parts(artifacts, parity, latency)


def _lower_all(model: Model, target: Target, folder: Path, progress: Progress) -> dict[str, dict[str, str]]:
    """Lower every runtime into `folder`; gives the program's path of each stage for each runtime."""
    artifacts = {}
    for number, runtime in enumerate(target.runtimes):
        progress(f"{target.title}: lowering to {runtime.title}", _LOWERED * number / len(target.runtimes))
        paths = lower(runtime, build_stages(model), folder)
        missing = [stage for stage in STAGES if not (folder / paths.get(stage, "?")).exists()]
        if missing:
            raise ExportError(f"{runtime.title}: expected a program for {missing[0]}, got none from the lowering")
        artifacts[runtime.name] = paths
    return artifacts


def record_cases(reference: Runner, model: Model, cases: Sequence[Case]) -> list[Trajectory]:
    """What PyTorch computes for every case, with the schedule's default guidance."""
    schedule = model.config.schedule
    shape, steps, guidance = model.config.latent_shape, schedule.steps, schedule.guidance
    return [record(reference, model.tokenizer, shape, steps, case, guidance) for case in cases]


def update_of(model: Model) -> Update:
    """The coefficients of the model's schedule."""
    table = step_table(model.config.schedule)
    return Update(table.a, table.b)


def compare_runners(
    runners: Sequence[tuple[Runtime, Runner]],
    trajectories: Sequence[Trajectory],
    update: Update,
    progress: Progress = silent,
) -> tuple[ParityReport, Pictures]:
    """Hold every runner against every trajectory; the report is not yet required to pass."""
    pictures: dict[tuple[str, str], NDArray[np.float32]] = {}
    measurements: dict[str, list[Measurement]] = {}
    pairs = [(runtime, runner, trajectory) for runtime, runner in runners for trajectory in trajectories]
    for number, (runtime, runner, trajectory) in enumerate(pairs):
        progress(f"comparing {runtime.title} with PyTorch", number / len(pairs))
        distances, picture = measure(runtime.name, runner, trajectory, update)
        measurements.setdefault(runtime.name, []).extend(distances)
        pictures[runtime.name, str(trajectory.case)] = picture
    return build_report(measurements, {runtime.name: runtime.precision for runtime, _ in runners}), pictures
