"""Checks a finished bundle: its files, its schema, what its programs compute, and that nothing in it contradicts.

The reference is in the bundle (golden vectors), so no checkpoint is needed.  With a checkpoint, PyTorch draws again and
is compared with the golden vectors like another runtime, and the manifest is described again.  export/evidence holds
the checks, one kind per file; here is their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from export.bundle.bundle import Bundle, open_bundle
from export.bundle.manifest import schema
from export.bundle.manifest_parts import MANIFEST
from export.evidence.content import read_contents
from export.evidence.description import check_description, check_provenance, check_source
from export.evidence.difference import Difference, require_none
from export.evidence.figures import check_measured_again, check_parity_file, read_parity
from export.evidence.golden import check_golden
from export.evidence.page import check_card, check_latency, check_layers, check_page, unchecked_charts
from export.evidence.preview import check_preview
from export.evidence.schedule import check_schedule
from export.job.plan import plan_export
from export.job.reference import open_reference
from export.parity.compare import compare_runners
from export.parity.golden import read_golden
from export.parity.report import ParityReport, ParityRow, merge
from export.parity.trajectories import Trajectory
from export.runners import Runner
from export.runtime import Runtime
from export.targets import TORCH, find_target, open_runner
from mobile_diffusion.checkpoint import AnyModel, open_source
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import BundleError, CheckpointError, ParityError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.progress import Progress, part_of, silent
from mobile_diffusion.strict_json import parse_json

_OPENED, _COMPARED = 0.2, 0.9
"""Progress after the files, and the checkpoint if there is one, were read; and after the programs were run."""
BELIEVED = (
    "model name, licence and changes",
    "timesteps, alphas and sigmas except their order",
    "words of the tokenizer that no golden prompt has",
    "golden contexts, latents and pictures",
    "what PyTorch's layers compute",
    "times",
)
"""What a bundle alone cannot prove.  A checkpoint proves all of it but the times."""


@dataclass(frozen=True)
class Verification:
    """What `verify_bundle` found."""

    parity: ParityReport
    """The programs, and with a checkpoint PyTorch, compared with the golden vectors; empty if nothing was run."""
    differences: tuple[Difference, ...]
    """Every place where the bundle contradicts itself, its programs or its checkpoint."""
    unchecked: tuple[str, ...]
    """What could not be checked, in words."""
    bundle: Path

    @property
    def passed(self) -> bool:
        """Whether nothing contradicts and all gates passed."""
        return not self.differences and self.parity.passed

    def require(self) -> None:
        """Raise `ParityError` for failed gates, which also cause contradictions; else `BundleError` for those."""
        if self.parity.measurements:
            self.parity.require()
        require_none(self.bundle, self.differences)
        self.parity.require()

    def rows(self) -> list[ParityRow]:
        """The rows of the parity table."""
        return self.parity.rows()

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        differences = [vars(each) for each in self.differences]
        return {
            **self.parity.to_json(),
            "passed": self.passed,
            "differences": differences,
            "unchecked": list(self.unchecked),
        }


def verify_bundle(
    path: Path | str,
    checkpoint: Path | str | None = None,
    options: OpenOptions | None = None,
    threads: int = 2,
    progress: Progress = silent,
) -> Verification:
    """Compare a bundle's files with each other, and every runtime with the golden vectors that PyTorch computed.

    With a `checkpoint`, PyTorch runs again and the manifest is described again; `options` must be those of the export.
    The result says whether everything passed; call its `require()` to raise an error when it did not.  Programs are run
    only if nothing that they need contradicts.  Raises `BundleError` for a damaged bundle, `CheckpointError` for a
    checkpoint that it was not made from, `ParityError` if none of its runtimes can run here.

    >>> from export import verify_bundle
    >>> found = verify_bundle("build/android")
    >>> found.passed, [row.check for row in found.rows()]
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
    source = None if checkpoint is None else _open(bundle, checkpoint, options)
    differences, unread = _read_only(bundle, trajectories, source)
    unchecked = (*unread, *unchecked_charts(bundle), *(BELIEVED if source is None else BELIEVED[-1:]))
    if differences:
        empty = ParityReport({}, (), (), (), 1.0)
        skipped = "what the programs compute: they were not run, because of the contradictions"
        return Verification(empty, tuple(differences), (skipped, *unchecked), path)
    part = part_of(progress, _OPENED, _COMPARED - _OPENED)
    report, more = _run(bundle, trajectories, source, threads, part)
    progress("compared", 1.0)
    return Verification(report, tuple(more), unchecked, path)


def unverified_runtimes(path: Path) -> list[str]:
    """Names of the bundle's runtimes that were never compared with PyTorch."""
    return [entry.name for entry in open_bundle(path, verify=False).manifest.runtimes if not entry.verified]


def check_schema(path: Path) -> None:
    """Raise `BundleError` with the first field of the manifest that the JSON schema refuses."""
    values = parse_json((path / MANIFEST).read_text(encoding="utf-8"))
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema()).iter_errors(values))
    if error is not None:
        raise BundleError(f"{path / MANIFEST}: {error.json_path}: {error.message}; export the bundle again")


def read_trajectories(bundle: Bundle) -> list[Trajectory]:
    """The golden vectors of a bundle; raises `BundleError` unless they fit its schedule."""
    trajectories = read_golden(bundle.path, bundle.manifest.golden)
    settings = bundle.settings()
    if not trajectories or any(not 1 <= each.steps <= _steps_of(settings, each) for each in trajectories):
        wanted = f"golden vectors of up to {settings.steps} steps"
        raise BundleError(f"{bundle.path}: expected {wanted}; export the bundle again")
    return trajectories


def depth_of(bundle: Bundle, trajectories: Sequence[Trajectory]) -> str:
    """The depth of comparison that the golden vectors allow."""
    settings = bundle.settings()
    return "trajectory" if all(each.steps == _steps_of(settings, each) for each in trajectories) else "step"


def _steps_of(settings: DrawSettings, trajectory: Trajectory) -> int:
    """Steps of a whole drawing that skips what the trajectory skips; 0 when it cannot be skipped."""
    skippable = 0 <= trajectory.skipped < (len(settings.starts) or settings.steps)
    return len(settings.rows(trajectory.skipped)) if skippable else 0


def _open(bundle: Bundle, checkpoint: Path | str, options: OpenOptions | None) -> AnyModel:
    """The checkpoint; raises `CheckpointError` unless the bundle was made from it."""
    model = open_source(checkpoint, options)
    wanted = bundle.manifest.model.source_sha256
    if model.source_hash != wanted:
        raise CheckpointError(
            f"{checkpoint}: expected the checkpoint {wanted[:12]}... that {bundle.path} was made from, "
            f"got {model.source_hash[:12]}...; give that one, or export this one"
        )
    return model


def _read_only(
    bundle: Bundle, trajectories: Sequence[Trajectory], source: AnyModel | None
) -> tuple[list[Difference], tuple[str, ...]]:
    """What can be seen without running a program, and which programs could not be read."""
    contents, depth = read_contents(bundle), depth_of(bundle, trajectories)
    found = [
        *check_description(bundle, contents),
        *check_schedule(bundle.manifest.schedule, contents),
        *([] if source is None else check_source(bundle, source)),
        *check_golden(bundle, trajectories, depth),
    ]
    if not found:
        recorded = read_parity(bundle, trajectories, depth)
        found = [
            *check_parity_file(bundle, recorded),
            *check_latency(bundle),
            *check_card(bundle, recorded, depth),
            *check_provenance(bundle, depth),
        ]
    return found, tuple(f"the programs of {each}" for each in contents.unread)


def _run(
    bundle: Bundle,
    trajectories: Sequence[Trajectory],
    source: AnyModel | None,
    threads: int,
    progress: Progress,
) -> tuple[ParityReport, list[Difference]]:
    """Run PyTorch, if there is a checkpoint, and every runtime; compare figures, page and preview with what they do."""
    settings, table, depth = bundle.settings(), bundle.step_table(), depth_of(bundle, trajectories)
    recorded = read_parity(bundle, trajectories, depth)
    runners: list[tuple[Runtime, Runner]] = [] if source is None else [(TORCH, _reference(bundle, source, threads))]
    entries = [entry for entry in bundle.manifest.runtimes if entry.verified]
    own = [open_runner(bundle, entry.name, threads, isolated=True) for entry in entries]
    report, pictures = compare_runners(own, trajectories, settings, table, depth, progress)
    again, _ = compare_runners(runners, trajectories, settings, table, depth)
    drawing = next((runner for _, runner in (*runners, *own)), None)
    differences = [
        *check_measured_again(recorded, report),
        *check_page(bundle, recorded, trajectories, pictures, depth),
        *check_preview(bundle, drawing, trajectories),
        *([] if source is None else check_layers(bundle, source, trajectories, threads)),
    ]
    return merge([again, report]), differences


def _reference(bundle: Bundle, source: AnyModel, threads: int) -> Runner:
    images = any(stage.name == "encode_image" for stage in bundle.manifest.stages)
    target = find_target(bundle.manifest.target)
    return open_reference(source, plan_export(source.config, target, images=images, threads=threads))
