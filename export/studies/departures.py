"""Finds the first module of a program whose output departs from PyTorch's module of that name.

Some runtimes show the values inside a program while it runs, by the torch module that each came from.  The same stage,
lowered again in float32 from the checkpoint, says which of these values are a module's output at all; one that is not
is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from export.bundle.bundle import Bundle, open_bundle
from export.job.unfit import inputs_of, stage_of
from export.parity.gates import limits
from export.parity.report import ParityReport
from export.parity.trajectories import Trajectory
from export.signatures import EVERY_STAGE
from export.stages import ExportStage, build_stage
from export.studies.faults.modules import ModuleDistance, best_match, first_departure, first_wrong, hooked
from export.verify import read_trajectories
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.decibels import db_text, json_number
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.progress import Progress, silent

Arrays = Mapping[str, np.ndarray]
Inside = Callable[[ExportStage, Path, Arrays], tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]]
"""Runs a stage's program in a file, and the stage lowered again in float32: the last value of each torch module."""


@dataclass(frozen=True)
class StageDepartures:
    """The modules of one stage, in the order of the program."""

    stage: str
    bound_db: float
    """SNR in dB below which a module's output departs from PyTorch's."""
    rows: tuple[ModuleDistance, ...]
    """Every module that PyTorch calls and the program has a value of."""

    @property
    def modules(self) -> tuple[ModuleDistance, ...]:
        """The modules whose value is their output, as the program in float32 shows."""
        return tuple(row for row in self.rows if row.float32_db >= self.bound_db)

    @property
    def first(self) -> ModuleDistance | None:
        """The first module that departs, or after which even the program in float32 does; None if there is none."""
        either = (first_departure(self.rows, self.bound_db), first_wrong(self.rows, self.bound_db))
        return min((row for row in either if row is not None), key=self.rows.index, default=None)

    def __str__(self) -> str:
        first = self.first
        if first is None:
            return f"{self.stage}: all {len(self.modules)} modules within {self.bound_db:g} dB of PyTorch"
        return (
            f"{self.stage}: departs first in {first.module} ({first.kind}): {db_text(first.snr_db)} from PyTorch, "
            f"expected {self.bound_db:g} dB"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = [{"module": row.module, "kind": row.kind, "snr_db": json_number(row.snr_db)} for row in self.modules]
        first = None if self.first is None else self.first.module
        return {"stage": self.stage, "bound_db": self.bound_db, "first": first, "modules": rows}


def find_departures(
    path: Path, runtime: str, model: AnyModel, bound_db: float, inside: Inside, progress: Progress = silent
) -> list[StageDepartures]:
    """Compare every stage of a bundle, in one runtime, with PyTorch, module by module, on the first golden case.

    Raises:
        ConfigError: the bundle has no programs for the runtime.
        CheckpointError: the bundle was made from another checkpoint.
        BundleError, ExportError: the bundle or a program is damaged, or the runtime's packages are missing.
    """
    bundle = open_bundle(path)
    entry = bundle.runtime(runtime)
    check_source(bundle, model)
    drawn, found = read_trajectories(bundle)[0], []
    for number, (stage, file) in enumerate(bundle.artifacts(entry).items()):
        progress(f"{stage}: comparing modules", number / len(entry.artifacts))
        found.append(_compare_file(model, stage, drawn, None, bundle.path / file, bound_db, inside))
    return found


@dataclass(frozen=True)
class Failure:
    """The first stage of a runtime that failed a gate."""

    stage: str
    drawn: Trajectory
    """The case that failed."""
    step: int | None
    file: Path
    bound_db: float
    """The gate's limit without guidance."""


def first_failure(path: Path, parity: ParityReport, runtime: str) -> Failure:
    """The first stage, in the order of a drawing, that failed one of a runtime's gates."""
    bundle = open_bundle(path, verify=False)
    failures = [each.measurement for each in parity.failures if each.measurement.runtime == runtime]
    failed = min(failures, key=lambda each: EVERY_STAGE.index(stage_of(each)))
    stage = stage_of(failed)
    check = failed.check if failed.check == "prediction" else stage
    bound = next(each.at_least for each in limits(parity.precisions[runtime], check) if each.metric == "snr_db")
    drawn = next(each for each in read_trajectories(bundle) if str(each.case) == failed.case)
    file = bundle.path / bundle.artifacts(bundle.runtime(runtime))[stage]
    return Failure(stage, drawn, failed.step, file, bound)


def check_source(bundle: Bundle, model: AnyModel) -> None:
    """Raise `CheckpointError` if the bundle was made from another checkpoint."""
    wanted, got = bundle.manifest.model.source_sha256[:12], model.source_hash[:12]
    if wanted != got:
        raise CheckpointError(f"--checkpoint: expected the checkpoint {wanted}... of {bundle.path}, got {got}...")


def stage_arrays(model: AnyModel, stage: str, drawn: Trajectory, step: int | None) -> Arrays:
    """The inputs of a stage in a drawing; of `denoise` at a step, the first if it is None."""
    return {name: value.numpy() for name, value in inputs_of(model.config, stage, drawn, step).items()}


def _compare_file(
    model: AnyModel, stage: str, drawn: Trajectory, step: int | None, file: Path, bound_db: float, inside: Inside
) -> StageDepartures:
    arrays = stage_arrays(model, stage, drawn, step)
    built = build_stage(model, stage)
    return compare(built, arrays, *inside(built, file, arrays), bound_db)


def compare(
    stage: ExportStage,
    arrays: Arrays,
    stored: Mapping[str, np.ndarray],
    single: Mapping[str, np.ndarray],
    bound_db: float,
) -> StageDepartures:
    """Compare the values in a program, and in float32, with the outputs of the stage's modules, by name."""
    rows: dict[str, ModuleDistance] = {}
    both = [name for name in stored if name in single]

    def judge(name: str, module: nn.Module, output: object) -> None:
        ratios = [best_match(output, torch.from_numpy(values[name])) for values in (stored, single)]
        if ratios[0] is not None and ratios[1] is not None:
            rows[name] = ModuleDistance(name, type(module).__name__, "", ratios[0], ratios[1])

    with hooked(stage.module, dict.fromkeys(both), judge), torch.inference_mode():
        stage.module(**{name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
    return StageDepartures(stage.name, bound_db, tuple(rows[name] for name in both if name in rows))
