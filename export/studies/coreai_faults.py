"""Finds the first module of a Core AI program whose output departs from PyTorch's module of that name.

Apple's runtime logs the values inside a program while it runs, and every operation of our assets names the torch module
it came from (export/coreai/sources.py).  The same stage, lowered again in float32 from the checkpoint, says which of
these values are a module's output at all; one that is not is left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from export.bundle.bundle import Bundle, open_bundle
from export.coreai.lower import lower
from export.coreai.options import CoreAIOptions
from export.coreai.sums import Sums
from export.parity.trajectories import Trajectory, latents_of
from export.runners.coreai import CoreAIRunner
from export.stages import ExportStage, build_stage
from export.studies.faults.modules import ModuleDistance, best_match, first_departure, hooked
from export.verify import read_trajectories
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.decibels import json_number
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.progress import Progress, silent

RUNTIME = "coreai"
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class StageDepartures:
    """The modules of one stage, in the order of the program."""

    stage: str
    bound_db: float
    """SNR in dB below which a module's output departs from PyTorch's."""
    modules: tuple[ModuleDistance, ...]

    @property
    def first(self) -> ModuleDistance | None:
        """The first module that departs; None if none does."""
        return first_departure(self.modules, self.bound_db)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = [{"module": row.module, "kind": row.kind, "snr_db": json_number(row.snr_db)} for row in self.modules]
        first = None if self.first is None else self.first.module
        return {"stage": self.stage, "bound_db": self.bound_db, "first": first, "modules": rows}


def find_departures(
    path: Path, model: Model, bound_db: float, sums: Sums = Sums.FLOAT32, progress: Progress = silent
) -> list[StageDepartures]:
    """Compare every stage of a bundle's Core AI programs with PyTorch, module by module, on the first golden case.

    Raises:
        ConfigError: the bundle has no Core AI programs.
        CheckpointError: the bundle was made from another checkpoint.
        BundleError, ExportError: the bundle or a program is damaged, or Apple's packages are missing.
    """
    bundle = open_bundle(path)
    entry = bundle.runtime(RUNTIME)
    if bundle.manifest.model.source_sha256 != model.source_hash:
        wanted, got = bundle.manifest.model.source_sha256[:12], model.source_hash[:12]
        raise CheckpointError(f"--checkpoint: expected the checkpoint {wanted}... of {path}, got {got}...")
    found = []
    for number, (stage, file) in enumerate(bundle.artifacts(entry).items()):
        progress(f"{stage}: comparing modules", number / len(entry.artifacts))
        arrays = inputs_of(bundle, stage, read_trajectories(bundle)[0])
        stored = values_inside(bundle.path, stage, file, arrays, sums)
        found.append(compare(build_stage(model, stage), arrays, stored, bound_db))
    return found


def inputs_of(bundle: Bundle, stage: str, trajectory: Trajectory) -> Arrays:
    """Return the inputs of a stage in a golden case: its prompt, its first step, its last latents, its picture."""
    settings = bundle.settings()
    if stage == "encode_text":
        return dict(trajectory.texts[0])
    if stage == "denoise":
        return dict(trajectory.step_inputs(0, settings))
    if stage == "decode_image":
        return {"latents": latents_of(trajectory.states[-1:], settings)}
    return {"image": trajectory.image}


def values_inside(folder: Path, stage: str, file: str, arrays: Arrays, sums: Sums) -> dict[str, np.ndarray]:
    """Run a program once; return the last value of each torch module."""
    return CoreAIRunner.load(folder, {stage: file}, sums=sums, inside=True).run(stage, **arrays)


def compare(stage: ExportStage, arrays: Arrays, stored: Mapping[str, np.ndarray], bound_db: float) -> StageDepartures:
    """Compare the values in a program with the outputs of the stage's modules, by name."""
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
        path = lower(stage, Path(folder), CoreAIOptions("fp32"))
        single = values_inside(Path(folder), stage.name, path, arrays, Sums.FLOAT32)
    rows: dict[str, ModuleDistance] = {}
    both = [name for name in stored if name in single]

    def judge(name: str, module: nn.Module, output: object) -> None:
        ratios = [best_match(output, torch.from_numpy(values[name])) for values in (stored, single)]
        if ratios[0] is not None and ratios[1] is not None:
            rows[name] = ModuleDistance(name, type(module).__name__, "", ratios[0], ratios[1])

    with hooked(stage.module, dict.fromkeys(both), judge), torch.inference_mode():
        stage.module(**{name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
    outputs = [rows[name] for name in both if name in rows and rows[name].float32_db >= bound_db]
    return StageDepartures(stage.name, bound_db, tuple(outputs))
