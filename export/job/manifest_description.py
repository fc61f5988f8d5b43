"""Describes an export, that is model, target and evidence, as a `Manifest`."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from export.bundle.manifest import FORMAT, SCHEMA_VERSION, Manifest
from export.bundle.manifest_parts import (
    ArtifactEntry,
    FileEntry,
    ModelEntry,
    OperationEntry,
    ParityEntry,
    RuntimeEntry,
    ScheduleEntry,
    SettingEntry,
    StageEntry,
    TokenizerEntry,
    ToolEntry,
)
from export.executorch.signature import PROGRAM, Delegation, read_delegation
from export.job.plan import ExportPlan
from export.parity.golden import INDEX
from export.parity.report import ParityReport
from export.runtime import Runtime
from export.signatures import signature
from export.targets import Target
from mobile_diffusion.checkpoint import Checkpoint, Model
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.decibels import MAX_DB
from mobile_diffusion.schedule import row_shares, step_table
from mobile_diffusion.tokenization.tokenizer import tokenizer_files

NOISE = "philox4x32-10, Box-Muller in float64, rounded to float32"
CHARTS = "matplotlib"
"""Package that draws the charts of report.html."""
COMMON_TOOLS = ("torch", "numpy", "tokenizers", CHARTS)


def describe(
    model: Model | Checkpoint,
    target: Target,
    plan: ExportPlan,
    folder: Path,
    artifacts: Mapping[str, Mapping[str, str]],
    parity: ParityReport,
    files: tuple[FileEntry, ...],
) -> Manifest:
    """The manifest of an export into `folder`; `artifacts` maps runtime -> stage -> path of the program."""
    config = model.config
    return Manifest(
        format=FORMAT,
        schema_version=SCHEMA_VERSION,
        target=target.name,
        model=describe_model(model),
        stages=tuple(_describe_stage(config, stage) for stage in plan.stages),
        runtimes=tuple(
            _describe_runtime(runtime, config, folder, artifacts[runtime.name], primary=number == 0)
            for number, runtime in enumerate(plan.runtimes)
        ),
        schedule=describe_schedule(config),
        tokenizer=TokenizerEntry(config.tokenizer, config.text.max_tokens, tokenizer_files(config.tokenizer)),
        golden=INDEX,
        parity=summarise(parity),
        tools=_tools(tool for runtime in plan.runtimes for tool in runtime.tools),
        files=files,
    )


def describe_model(model: Model | Checkpoint) -> ModelEntry:
    """What a manifest says of a model itself."""
    config = model.config
    return ModelEntry(
        name=config.name,
        licence=config.licence,
        height=config.height,
        width=config.width,
        styles=config.styles,
        changes=tuple(model.changes),
        text_widths=config.text.widths,
        source_sha256=model.source_hash,
    )


def _describe_stage(config: ModelConfig, name: str) -> StageEntry:
    found = signature(config, name)
    return StageEntry(name, found.inputs, found.outputs)


def _describe_runtime(
    runtime: Runtime, config: ModelConfig, folder: Path, artifacts: Mapping[str, str], primary: bool
) -> RuntimeEntry:
    entries = (_describe_artifact(runtime, config, folder, name, path) for name, path in artifacts.items())
    chosen = {} if runtime.options is None else runtime.options.settings()
    settings = tuple(SettingEntry(name, value) for name, value in chosen.items())
    return RuntimeEntry(runtime.name, primary, runtime.runs_here, settings, tuple(entries))


def _describe_artifact(runtime: Runtime, config: ModelConfig, folder: Path, stage: str, path: str) -> ArtifactEntry:
    has_delegates = Path(path).suffix == PROGRAM
    delegation = read_delegation(folder / path) if has_delegates else Delegation(0, {}, 0)
    return ArtifactEntry(
        stage=stage,
        path=path,
        method=runtime.method(stage),
        outputs=runtime.outputs(signature(config, stage)),
        precision=runtime.precision,
        compression=runtime.compression,
        delegates=delegation.delegates,
        undelegated=tuple(OperationEntry(name, count) for name, count in delegation.undelegated.items()),
    )


def describe_schedule(model: ModelConfig) -> ScheduleEntry:
    """The tables of a model's sampler."""
    config = model.schedule
    table = step_table(config)
    return ScheduleEntry(
        solver=config.solver,
        prediction=config.prediction,
        spacing=config.spacing,
        train_steps=config.train_steps,
        timesteps=table.timesteps,
        inputs=table.inputs,
        update=table.update,
        noise_factors=table.noise,
        alphas=table.alphas,
        sigmas=table.sigmas,
        starts=table.starts,
        guidance_kind=config.applied_guidance,
        guidance_default=config.guidance,
        guidance_shares=row_shares(config, table),
        zero_null=model.text.zero_null,
        noise=NOISE,
    )


def summarise(parity: ParityReport) -> tuple[ParityEntry, ...]:
    """The manifest's summary of a comparison: the worst value per runtime and check."""
    return tuple(
        ParityEntry(row.runtime, row.check, row.metric, min(row.worst, MAX_DB), row.limit) for row in parity.rows()
    )


def _tools(names: Iterable[str]) -> tuple[ToolEntry, ...]:
    """Versions of Python and of the packages that were used."""
    tools = [ToolEntry("python", platform.python_version())]
    for name in (*COMMON_TOOLS, *names):
        try:
            tools.append(ToolEntry(name, version(name)))
        except PackageNotFoundError:
            continue  # an optional part of a runtime
    return tuple(tools)
