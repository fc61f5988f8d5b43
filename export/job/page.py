"""The evidence in a bundle: parity.json, latency.json and report.html, one page that contains everything.

The page needs no other file and no network.  It is made of what is in the bundle alone, so that `verify` can make it
again and compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from export.bundle.manifest import Manifest
from export.bundle.manifest_parts import ArtifactEntry
from export.job.command import CHECKPOINT, asked_steps, reproduce
from export.job.layers import Layers
from export.job.page_charts import (
    along_the_steps,
    latency_charts,
    layer_charts,
    schedule_charts,
    sizes,
    weight_chart,
    words,
)
from export.job.plan import ExportPlan
from export.latency.measure import LatencyReport
from export.latency.other_work import BUSY
from export.mixed.names import names_of
from export.parity.compare import Pictures
from export.parity.gates import limits
from export.parity.report import PARITY_COLUMNS, ParityReport, cells
from export.parity.trajectories import Trajectory
from export.report.latency import LATENCY_COLUMNS, conditions, latency_rows
from export.report.pictures import amplified, png_uri
from export.targets import TORCH, find_target
from mobile_diffusion.decibels import db_text
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.units import readable

TEMPLATE, STYLE = (Path(__file__).with_name(name) for name in ("template.html", "template.css"))
PARITY_FILE, LATENCY_FILE, PAGE_FILE = "parity.json", "latency.json", "report.html"
NEVER = (
    "Times, memory and energy on a phone. The times below are this computer's.",
    "Whether the pictures are good. The page compares programs with PyTorch, and says nothing of the model's quality.",
)
"""What no export verifies."""


@dataclass(frozen=True)
class Evidence:
    """Everything that the page shows."""

    manifest: Manifest
    """Files that are not programs may be missing in it."""
    settings: DrawSettings
    plan: ExportPlan
    parity: ParityReport
    latency: LatencyReport
    layers: Layers
    trajectories: Sequence[Trajectory]
    pictures: Pictures


def write_json(path: Path, values: Any) -> None:
    """Write values as JSON; NaN and infinity are refused."""
    path.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def render(evidence: Evidence) -> str:
    """The page as HTML; prompts and all other text are escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    manifest, plan, parity, latency = evidence.manifest, evidence.plan, evidence.parity, evidence.latency
    settings = evidence.settings
    return template.render(
        style=STYLE.read_text(encoding="utf-8"),
        manifest=manifest,
        target=find_target(manifest.target),
        steps=settings.steps,
        guidance=evidence.trajectories[0].guidance,
        plan=plan,
        never=NEVER,
        busy=latency.conditions.others is not None and latency.conditions.others >= BUSY,
        tiles=list(_tiles(evidence)),
        wide=[(each.title, ", ".join(names)) for each in plan.runtimes if (names := names_of(each.mixed_precision))],
        cases=[_case(evidence, trajectory) for trajectory in evidence.trajectories],
        parity=parity,
        parity_columns=PARITY_COLUMNS,
        parity_rows=[cells(row) for row in parity.rows()],
        step_charts=list(along_the_steps(plan, parity)),
        limits=_limits(plan, parity.guidance),
        layers=evidence.layers,
        layer_charts=list(layer_charts(evidence.layers)),
        weight_chart=weight_chart(evidence.layers),
        size_chart=sizes({name: program["bytes"] for name, program in _programs(evidence)}),
        programs=[program for _, program in _programs(evidence)],
        delegated=any(program["delegates"] or program["undelegated"] for _, program in _programs(evidence)),
        latency_columns=LATENCY_COLUMNS,
        latency_rows=latency_rows(latency, settings.calls),
        latency_charts=list(latency_charts(latency)),
        conditions=conditions(latency),
        schedule_charts=list(schedule_charts(manifest.schedule, settings.rows())),
        command=reproduce(manifest, plan.depth),
        checkpoint=CHECKPOINT,
        readable=readable,
        db=db_text,
        words=words,
    )


def _tiles(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """The few figures that a reader wants first: a name and a value."""
    model, plan = evidence.manifest.model, evidence.plan
    yield "picture", f"{model.width} × {model.height}"
    yield "steps", str(asked_steps(evidence.manifest.schedule))
    for runtime in plan.runtimes:
        total = sum(program["bytes"] for _, program in _programs(evidence) if program["runtime"] == runtime.title)
        yield f"{runtime.title}, {runtime.grade}", readable(total)
    check = "picture" if plan.depth == "trajectory" else "decode_image"
    for row in evidence.parity.rows():
        if row.check == check:
            title = next(each.title for each in plan.compared if each.name == row.runtime)
            yield f"{title}, worst {words(check)}", db_text(row.worst)


def _case(evidence: Evidence, trajectory: Trajectory) -> dict[str, Any]:
    """The pictures of one prompt: PyTorch's, then every runtime's and its distance from PyTorch's."""
    shown = [{"title": TORCH.title, "uri": png_uri(trajectory.image), "note": "the reference"}]
    for runtime in evidence.plan.compared:
        picture = evidence.pictures[runtime.name, str(trajectory.case)]
        apart = amplified(trajectory.image, picture)
        note = f"at most {apart.largest} of 255 levels; × {apart.factor}" if apart.largest else "no pixel differs"
        shown.append({"title": runtime.title, "uri": png_uri(picture), "note": ""})
        shown.append({"title": "difference", "uri": png_uri(apart.picture), "note": note})
    return {"label": str(trajectory.case), "pictures": shown}


def _programs(evidence: Evidence) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every program by "runtime, stage"."""
    titles = {runtime.name: runtime.title for runtime in evidence.plan.runtimes}
    for runtime in evidence.manifest.runtimes:
        for artifact in runtime.artifacts:
            yield f"{runtime.name}, {words(artifact.stage)}", _program(evidence, titles[runtime.name], artifact)


def _program(evidence: Evidence, title: str, artifact: ArtifactEntry) -> dict[str, Any]:
    below = f"{artifact.path}/"
    files = [each for each in evidence.manifest.files if each.path == artifact.path or each.path.startswith(below)]
    largest = max(files, key=lambda each: each.size)
    return {
        "runtime": title,
        "stage": words(artifact.stage),
        "path": largest.path,
        "bytes": sum(each.size for each in files),
        "sha256": largest.sha256,
        "delegates": artifact.delegates,
        "undelegated": artifact.undelegated,
    }


def _limits(plan: ExportPlan, guidance: float) -> list[tuple[str, Any]]:
    """The limits of every grade and check of the plan."""
    grades = dict.fromkeys(runtime.grade for runtime in plan.compared)
    return [(name, limit) for name in grades for check in plan.checks for limit in limits(name, check, guidance)]
