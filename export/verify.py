"""Checks a finished bundle: its files, its schema, and what its programs compute.

The reference is in the bundle (golden vectors), so no checkpoint is needed.  With a checkpoint, PyTorch draws again and
is compared with the golden vectors like another runtime.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import jsonschema

from export.bundle.bundle import Bundle, open_bundle
from export.bundle.manifest import schema
from export.bundle.manifest_parts import MANIFEST
from export.job.plan import plan_export
from export.job.reference import open_reference
from export.parity.compare import compare_runners
from export.parity.golden import read_golden
from export.parity.report import ParityReport, merge
from export.parity.trajectories import Trajectory
from export.targets import TORCH, find_target, open_runner
from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.errors import BundleError, CheckpointError, ParityError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.progress import Progress, part_of, silent

_OPENED = 0.2
"""Progress after the files, and the checkpoint if there is one, were checked."""


def verify_bundle(
    path: Path | str,
    checkpoint: Path | str | None = None,
    options: OpenOptions | None = None,
    threads: int = 2,
    progress: Progress = silent,
) -> ParityReport:
    """Compare every runtime of a bundle with the golden vectors in it, which PyTorch computed at the export.

    With a `checkpoint`, PyTorch runs again and is compared too; `options` must be those of the export.  The report says
    whether the limits were met; call its `require()` to raise `ParityError` when they were not.  Raises `BundleError`
    for a damaged bundle, `CheckpointError` for a checkpoint that it was not made from, `ParityError` if none of its
    runtimes can run here.

    >>> from export import verify_bundle
    >>> report = verify_bundle("build/android")
    >>> report.passed, [row.check for row in report.rows()]
    (True, ['encode_text', 'denoise', 'prediction', 'decode_image', 'free_running', 'picture'])
    """
    path = Path(path)
    progress(f"checking the files of {path}", 0.0)
    bundle = open_bundle(path)
    check_schema(path)
    trajectories = read_trajectories(bundle)
    if checkpoint is None and not any(entry.verified for entry in bundle.manifest.runtimes):
        raise ParityError(
            f"{path}: expected a runtime that can run here, got {', '.join(unverified_runtimes(path))} alone: every "
            "file is as the manifest says, but nothing was compared; give --checkpoint to compare PyTorch with it"
        )
    reports = []
    if checkpoint is not None:
        reports.append(_verify_checkpoint(bundle, checkpoint, options, trajectories, threads))
    runners = [open_runner(bundle, entry.name, threads) for entry in bundle.manifest.runtimes if entry.verified]
    part = part_of(progress, _OPENED, 1 - _OPENED)
    report, _ = compare_runners(
        runners, trajectories, bundle.settings(), bundle.step_table(), depth_of(bundle, trajectories), part
    )
    reports.append(report)
    progress("compared", 1.0)
    return merge(reports)


def unverified_runtimes(path: Path) -> list[str]:
    """Names of the bundle's runtimes that were never compared with PyTorch."""
    return [entry.name for entry in open_bundle(path, verify=False).manifest.runtimes if not entry.verified]


def check_schema(path: Path) -> None:
    """Raise `BundleError` with the first field of the manifest that the JSON schema refuses."""
    values = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema()).iter_errors(values))
    if error is not None:
        raise BundleError(f"{path / MANIFEST}: {error.json_path}: {error.message}; export the bundle again")


def read_trajectories(bundle: Bundle) -> list[Trajectory]:
    """The golden vectors of a bundle; raises `BundleError` unless they fit its schedule."""
    trajectories = read_golden(bundle.path, bundle.manifest.golden)
    steps = len(bundle.manifest.schedule.timesteps)
    if not trajectories or any(not 1 <= each.steps <= steps - each.first for each in trajectories):
        raise BundleError(f"{bundle.path}: expected golden vectors of up to {steps} steps; export the bundle again")
    return trajectories


def depth_of(bundle: Bundle, trajectories: Sequence[Trajectory]) -> str:
    """The depth of comparison that the golden vectors allow."""
    steps = len(bundle.manifest.schedule.timesteps)
    return "trajectory" if all(each.first + each.steps == steps for each in trajectories) else "step"


def _verify_checkpoint(
    bundle: Bundle,
    checkpoint: Path | str,
    options: OpenOptions | None,
    trajectories: Sequence[Trajectory],
    threads: int,
) -> ParityReport:
    """Compare PyTorch with the golden vectors that it once made."""
    model = open_source(checkpoint, options)
    wanted = bundle.manifest.model.source_sha256
    if model.source_hash != wanted:
        raise CheckpointError(
            f"{checkpoint}: expected the checkpoint {wanted[:12]}... that {bundle.path} was made from, "
            f"got {model.source_hash[:12]}...; give that one, or export this one"
        )
    images = any(stage.name == "encode_image" for stage in bundle.manifest.stages)
    plan = plan_export(model.config, find_target(bundle.manifest.target), images=images, threads=threads)
    runners = [(TORCH, open_reference(model, plan))]
    depth = depth_of(bundle, trajectories)
    report, _ = compare_runners(runners, trajectories, bundle.settings(), bundle.step_table(), depth)
    return report
