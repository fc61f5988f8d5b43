"""Writes down what was exported: model, target and evidence as a `Manifest`."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from export.manifest import (
    FORMAT,
    SCHEMA_VERSION,
    ArtifactEntry,
    FileEntry,
    Manifest,
    ModelEntry,
    ParityEntry,
    RuntimeEntry,
    ScheduleEntry,
    StageEntry,
    TokenizerEntry,
    ToolEntry,
)
from export.parity.golden import INDEX
from export.parity.report import MAX_DB, ParityReport
from export.stages import build_stages
from export.targets import Runtime, Stages, Target, output_name
from mobile_diffusion.checkpoint import TOKENIZER_FILE, Model
from mobile_diffusion.schedule import step_table

NOISE = "philox4x32-10, Box-Muller in float64, rounded to float32"
COMMON_TOOLS = ("torch", "numpy", "tokenizers")


def describe(
    model: Model,
    target: Target,
    artifacts: Mapping[str, Mapping[str, str]],
    parity: ParityReport,
    files: tuple[FileEntry, ...],
) -> Manifest:
    """The manifest of an export; `artifacts` gives for each runtime the program's path of each stage."""
    config, stages = model.config, build_stages(model)
    return Manifest(
        format=FORMAT,
        schema_version=SCHEMA_VERSION,
        target=target.name,
        model=ModelEntry(config.name, config.licence, config.image_size, model.source_hash),
        stages=tuple(StageEntry(stage.name, stage.inputs, (stage.output,)) for stage in stages.values()),
        runtimes=tuple(
            _describe_runtime(runtime, stages, artifacts[runtime.name], primary=number == 0)
            for number, runtime in enumerate(target.runtimes)
        ),
        schedule=_describe_schedule(model),
        tokenizer=TokenizerEntry(config.tokenizer, config.text.max_tokens, (TOKENIZER_FILE,)),
        golden=INDEX,
        parity=_summarise(parity),
        tools=_tools(tool for runtime in target.runtimes for tool in runtime.tools),
        files=files,
    )


def _describe_runtime(runtime: Runtime, stages: Stages, artifacts: Mapping[str, str], primary: bool) -> RuntimeEntry:
    entries = (
        ArtifactEntry(
            stage=name,
            path=artifacts[name],
            method=runtime.method(name),
            output=output_name(runtime, stage),
            precision=runtime.precision,
            compression="none",
        )
        for name, stage in stages.items()
    )
    return RuntimeEntry(runtime.name, primary, tuple(entries))


def _describe_schedule(model: Model) -> ScheduleEntry:
    config = model.config.schedule
    table = step_table(config)
    return ScheduleEntry(
        solver="ddim",
        prediction=config.prediction,
        spacing=config.spacing,
        train_steps=config.train_steps,
        timesteps=table.timesteps,
        a=table.a,
        b=table.b,
        guidance_kind="cfg",
        guidance_default=config.guidance,
        noise=NOISE,
    )


def _summarise(parity: ParityReport) -> tuple[ParityEntry, ...]:
    return tuple(
        ParityEntry(row.runtime, row.check, row.metric, min(row.worst, MAX_DB), row.limit) for row in parity.rows()
    )


def _tools(names: Iterable[str]) -> tuple[ToolEntry, ...]:
    """Versions of the packages that took part and of Python."""
    tools = [ToolEntry("python", platform.python_version())]
    for name in (*COMMON_TOOLS, *names):
        try:
            tools.append(ToolEntry(name, version(name)))
        except PackageNotFoundError:
            continue  # an optional part of a runtime
    return tuple(tools)
