"""Verifies a bundle that exists: its files, its schema, and what its programs compute.

The reference is in the bundle (golden vectors), so no checkpoint is needed; with one, PyTorch draws again and
is held against the golden vectors as another runtime.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import jsonschema

from export.bundle import Bundle, open_bundle
from export.manifest import MANIFEST, schema
from export.parity.golden import read_golden
from export.parity.report import ParityReport, merge
from export.parity.trajectories import Trajectory, Update
from export.progress import Progress, part_of, silent
from export.run import compare_runners
from export.runners.torch import TorchRunner
from export.targets import TORCH, open_runner
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.errors import BundleError, CheckpointError

_OPENED = 0.2
"""Progress when the files are checked and the checkpoint, if any, is compared."""


def verify_bundle(
    path: Path, checkpoint: Path | None = None, threads: int = 2, progress: Progress = silent
) -> ParityReport:
    """Compare every runtime of a bundle with its golden vectors; the report is not yet required to pass.

    Raises `BundleError` for a damaged bundle, `CheckpointError` for a checkpoint that it was not made from.
    """
    progress(f"checking the files of {path}", 0.0)
    bundle = open_bundle(path)
    check_schema(path)
    trajectories = read_trajectories(bundle)
    update = Update(bundle.manifest.schedule.a, bundle.manifest.schedule.b)
    reports = [] if checkpoint is None else [_verify_checkpoint(bundle, checkpoint, trajectories, update, threads)]
    runners = [open_runner(bundle, entry.name, threads) for entry in bundle.manifest.runtimes]
    report, _ = compare_runners(runners, trajectories, update, part_of(progress, _OPENED, 1 - _OPENED))
    reports.append(report)
    progress("compared", 1.0)
    return merge(reports)


def check_schema(path: Path) -> None:
    """Raise `BundleError` naming the first field of the manifest that the JSON schema refuses."""
    values = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema()).iter_errors(values))
    if error is not None:
        raise BundleError(f"{path / MANIFEST}: {error.json_path}: {error.message}; export the bundle again")


def read_trajectories(bundle: Bundle) -> list[Trajectory]:
    """The golden vectors of a bundle; raises `BundleError` unless they fit its schedule."""
    trajectories = read_golden(bundle.path, bundle.manifest.golden)
    steps = len(bundle.manifest.schedule.timesteps)
    if not trajectories or any(trajectory.steps != steps for trajectory in trajectories):
        raise BundleError(f"{bundle.path}: expected golden vectors of {steps} steps; export the bundle again")
    return trajectories


def _verify_checkpoint(
    bundle: Bundle, checkpoint: Path, trajectories: Sequence[Trajectory], update: Update, threads: int
) -> ParityReport:
    """Hold PyTorch against the golden vectors that it once made."""
    model = open_checkpoint(checkpoint)
    wanted = bundle.manifest.model.source_sha256
    if model.source_hash != wanted:
        raise CheckpointError(
            f"{checkpoint}: expected the checkpoint {wanted[:12]}... that {bundle.path} was made from, "
            f"got {model.source_hash[:12]}...; give that one, or export this one"
        )
    report, _ = compare_runners([(TORCH, TorchRunner.from_model(model, threads=threads))], trajectories, update)
    return report
