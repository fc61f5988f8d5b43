"""Exports one target, in this order: lower, save, run the saved programs, compare with PyTorch, time, publish.

Parity is measured on the saved programs, in the folder that becomes the bundle; if a gate fails, no bundle appears.
Progress goes to a callback; nothing is printed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.bundle.adapter_files import write_adapters
from export.bundle.bundle import Bundle, check_replaceable, list_files, open_bundle, write_bundle
from export.job.calibration import CALIBRATION_CASES, LARGE_CASES, Samples, StageSamples, collect
from export.job.card import CARD_FILE, render_card
from export.job.isolation import lower_isolated
from export.job.layers import measure_layers, write_layers
from export.job.manifest_description import describe
from export.job.mixed import check_names, decide, measured_stages, needs_trajectories
from export.job.page import LATENCY_FILE, PAGE_FILE, PARITY_FILE, Evidence, render, write_json
from export.job.plan import ExportPlan, plan_export
from export.job.preview import COLOURED_CASES, Preview, fit_preview, write_preview
from export.job.provenance import PROVENANCE_FILE, provenance
from export.job.reference import open_reference, record_cases
from export.job.resources import check_resources, estimate_export
from export.job.unfit import check_unrun, explain
from export.latency.measure import BUDGET_S, LatencyReport, measure_latency
from export.mixed.choose import Choice
from export.parity.compare import compare_runners
from export.parity.golden import write_golden
from export.parity.record import record
from export.parity.report import ParityReport
from export.parity.trajectories import CASES, Case, Trajectory
from export.runners import Runner
from export.runners.sequential import release
from export.runtime import Runtime
from export.stages import build_stage
from export.targets import Target, load_runner, lower
from mobile_diffusion.checkpoint import TOKENIZER_FILE, AnyModel, Checkpoint
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ExportError
from mobile_diffusion.progress import Progress, part_of, silent
from mobile_diffusion.schedule import step_table
from mobile_diffusion.staging import check_free
from mobile_diffusion.tokenization.tokenizer import Tokenizer

_LOWERED, _RECORDED, _COMPARED, _TIMED = 0.6, 0.65, 0.9, 0.97
"""Progress at the end of each part; lowering takes longest."""

LARGE_BUDGET_S = 8.0
"""Seconds after which a stage of a large model is not called again: a denoise step is warmed up and timed once."""


@dataclass(frozen=True)
class Exported:
    """A finished export."""

    bundle: Bundle
    plan: ExportPlan
    parity: ParityReport
    latency: LatencyReport
    choices: tuple[Choice, ...] = ()
    """What was measured to choose modules that stay in float32."""


def run_export(
    source: AnyModel,
    target: Target,
    out: Path,
    force: bool = False,
    cases: Sequence[Case] = CASES,
    plan: ExportPlan | None = None,
    progress: Progress = silent,
    calibration: Sequence[Case] = (),
) -> Exported:
    """Write the bundle of a target to `out`; `calibration` are pictures to calibrate on instead of ours.

    Raises `ExportError` when `out` cannot be used or memory or disk will not do, `ParityError` when a gate fails;
    either way nothing is written.
    """
    check_output(out, source.path, force)
    chosen = plan or plan_export(source.config, target)
    check_names(source.config, chosen)
    check_resources(estimate_export(source.config, chosen), out)
    with write_bundle(
        out,
        lambda folder, files: describe(source, target, parts.plan, folder, parts.artifacts, parts.parity, files),
        force,
    ) as folder:
        parts = _fill(source, target, chosen, folder, cases, progress, calibration)
    progress(f"{target.title}: written to {out}", 1.0)
    return Exported(open_bundle(out, verify=False), parts.plan, parts.parity, parts.latency, parts.choices)


def check_output(out: Path, checkpoint: Path | None, force: bool) -> None:
    """Raise `ExportError` if `out` cannot be the output: it exists, or overlaps with the checkpoint."""
    output = out.resolve()
    if checkpoint is not None:
        source = checkpoint.resolve()
        if output == source or source in output.parents or output in source.parents:
            raise ExportError(f"{out}: expected an output apart from the checkpoint {checkpoint}; choose another --out")
    check_free(output, check_replaceable if force else None)


@dataclass(frozen=True)
class _Parts:
    plan: ExportPlan
    choices: tuple[Choice, ...]
    artifacts: dict[str, dict[str, str]]
    parity: ParityReport
    latency: LatencyReport


def _fill(
    source: AnyModel,
    target: Target,
    plan: ExportPlan,
    folder: Path,
    cases: Sequence[Case],
    progress: Progress,
    calibration: Sequence[Case],
) -> _Parts:
    """Write everything of a bundle except the manifest."""
    progress(f"{target.title}: drawing with PyTorch", 0.0)
    trajectories, samples = draw(source, plan, cases, calibration)
    write_golden(folder, trajectories)
    plan, choices = decide(source, plan, samples, trajectories, progress)
    check_unrun(source, plan, trajectories)
    artifacts = _lower_all(source, target, plan, samples, folder, progress)
    source.tokenizer.save(folder / TOKENIZER_FILE)
    write_adapters(folder, source.config.adapters, source.adapters)
    reference, settings = open_reference(source, plan), DrawSettings.of(source.config)
    runners = [
        (runtime, load_runner(runtime, folder, artifacts[runtime.name], plan.threads, plan.large))
        for runtime in plan.compared
    ]
    part = part_of(progress, _RECORDED, _COMPARED - _RECORDED)
    table = step_table(source.config.schedule)
    parity, pictures = compare_runners(runners, trajectories, settings, table, plan.depth, part)
    if plan.compared and not parity.passed:
        explain(source, plan, parity, trajectories)
    write_preview(folder, preview_of(reference, source.tokenizer, settings, trajectories, plan))
    progress(f"{target.title}: timing", _COMPARED)
    timed = [reference, *(runner for _, runner in runners)]
    latency = measure_latency(timed, trajectories[0], settings, LARGE_BUDGET_S if plan.large else BUDGET_S)
    progress(f"{target.title}: writing the report", _TIMED)
    layers = measure_layers(source, plan, trajectories[0], settings)
    write_layers(folder, layers)
    write_json(folder / PARITY_FILE, parity.to_json())
    write_json(folder / LATENCY_FILE, latency.to_dict())
    manifest = describe(source, target, plan, folder, artifacts, parity, list_files(folder))
    evidence = Evidence(manifest, settings, plan, parity, latency, layers, trajectories, pictures)
    (folder / PAGE_FILE).write_text(render(evidence), encoding="utf-8")
    write_json(folder / PROVENANCE_FILE, provenance(manifest, plan))
    (folder / CARD_FILE).write_text(render_card(manifest, plan, parity), encoding="utf-8")
    return _Parts(plan, choices, artifacts, parity, latency)


def draw(
    source: AnyModel, plan: ExportPlan, cases: Sequence[Case], calibration: Sequence[Case] = ()
) -> tuple[list[Trajectory], Samples]:
    """What PyTorch computes while it draws `cases`; and, if the plan needs it, the inputs of every stage while it draws
    `calibration` or our own pictures, fewer of a large model.
    """
    reference, settings = open_reference(source, plan), DrawSettings.of(source.config)
    trajectories = record_cases(reference, source.tokenizer, settings, cases, plan, source.adapters)
    samples: Samples = {}
    if plan.calibrated or measured_stages(source.config, plan):
        chosen = calibration or (LARGE_CASES if plan.large else CALIBRATION_CASES)
        depth = "trajectory" if plan.calibrated or needs_trajectories(plan) else plan.depth
        samples = collect(reference, source.tokenizer, settings, chosen, depth)
    release(reference)
    return trajectories, samples


def _lower_all(
    source: AnyModel, target: Target, plan: ExportPlan, samples: Samples, folder: Path, progress: Progress
) -> dict[str, dict[str, str]]:
    """Lower every stage for every runtime into `folder`; returns runtime -> stage -> path of the program."""
    artifacts: dict[str, dict[str, str]] = {runtime.name: {} for runtime in plan.runtimes}
    pairs = [(runtime, stage) for runtime in plan.runtimes for stage in plan.stages]
    for number, (runtime, stage) in enumerate(pairs):
        progress(f"{target.title}: lowering {stage} for {runtime.title}", _LOWERED * number / len(pairs))
        artifacts[runtime.name][stage] = _lower_one(source, plan, runtime, stage, folder, samples.get(stage, ()))
    return artifacts


def _lower_one(
    source: AnyModel, plan: ExportPlan, runtime: Runtime, stage: str, folder: Path, samples: StageSamples
) -> str:
    if plan.large and isinstance(source, Checkpoint):
        return lower_isolated(source, runtime, stage, folder, samples)
    return lower(runtime, replace(build_stage(source, stage), samples=samples), folder)


def preview_of(
    reference: Runner,
    tokenizer: Tokenizer,
    settings: DrawSettings,
    trajectories: Sequence[Trajectory],
    plan: ExportPlan,
) -> Preview:
    """The map from latents to colours; for a large model it is fitted to the golden cases alone."""
    cases = () if plan.large else COLOURED_CASES
    coloured = [record(reference, tokenizer, settings, case) for case in cases]
    return fit_preview([*trajectories, *coloured], settings.latent_shape[1])
