"""The plan of the export that made a bundle, as far as its manifest says it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from export.bundle.bundle import Bundle
from export.bundle.manifest_parts import RuntimeEntry
from export.job.plan import ExportPlan
from export.mixed.names import SETTING
from export.runtime import Runtime
from export.targets import RUNTIMES

TAKEN = (SETTING, "delegate")
"""Settings that are options of a lowering, by the same name."""


def runtime_of(entry: RuntimeEntry) -> Runtime:
    """A known runtime at the precision and compression of a bundle, with the settings that the manifest repeats."""
    first, known = entry.artifacts[0], RUNTIMES[entry.name]
    options: Any = known.options
    chosen = {setting.name: setting.value for setting in entry.settings if setting.name in TAKEN}
    chosen = {name: value for name, value in chosen.items() if hasattr(options, name)}
    if chosen:
        options = replace(options, **chosen)
    return replace(known, precision=first.precision, compression=first.compression, options=options)


def plan_of(bundle: Bundle, depth: str, threads: int) -> ExportPlan:
    """The plan, without the options of the lowerings; whether the model was large is not known and not needed."""
    stages = tuple(stage.name for stage in bundle.manifest.stages)
    return ExportPlan(tuple(map(runtime_of, bundle.manifest.runtimes)), stages, depth, False, threads)
